#!/bin/sh
# Three containers that find each other by name: a database (redis), a web server that counts in it,
# and a client. The same on every platform, whichever network its blueprint names:
#
#   moby-py up -d out && sh blueprints/app/up.sh out/bin/NAME
#
# Words in APP_NETWORK go to `network create`, such as APP_NETWORK="-d macvlan -o parent=eth0".
# The images are made out of this host's own programs: apt-get install redis-server busybox-static curl
set -eu
moby=${1:?usage: up.sh OUT/bin/NAME [HOST-PORT]}
port=${2:-8080}

"$moby" image from-host -t app-db redis-server >/dev/null
"$moby" image from-host -t app-web sh busybox redis-cli curl >/dev/null

# shellcheck disable=SC2086 # a list of words
"$moby" network create ${APP_NETWORK:-} app >/dev/null
"$moby" volume create app-data >/dev/null

"$moby" run -d --name db --network app --restart always -v app-data:/data \
    app-db redis-server --dir /data --appendonly yes --bind 0.0.0.0 --protected-mode no >/dev/null

# A page that asks the database: busybox's web server runs it for each request.
"$moby" run -d --name web --network app --restart always -p "$port:80" app-web sh -c '
    busybox mkdir -p /www/cgi-bin
    busybox cat > /www/cgi-bin/hits <<"PAGE"
#!/bin/sh
echo "Content-Type: text/plain"; echo
redis-cli -h db incr hits 2>/dev/null
PAGE
    busybox chmod 755 /www/cgi-bin/hits
    exec busybox httpd -f -p 80 -h /www' >/dev/null

"$moby" run --rm --network app app-web sh -c '
    for try in 1 2 3 4 5 6 7 8 9 10; do
        hits=$(curl -s -m 5 http://web/cgi-bin/hits) && [ -n "$hits" ] && break
        busybox sleep 0.3
    done
    echo "the client says: hit number ${hits:?the web server does not answer}"'
echo "and from here: http://localhost:$port/cgi-bin/hits"
