#!/bin/sh
# Three containers that find each other by name: a database (redis), a web server that counts in it,
# and a client. The same on every platform, whichever network its blueprint names:
#
#   moby-py up -d out && sh blueprints/app/up.sh out/bin/NAME
#
# The images are made out of this host's own programs: apt-get install redis-server busybox-static
set -eu
moby=${1:?usage: up.sh OUT/bin/NAME [HOST-PORT]}
port=${2:-8080}

"$moby" image from-host -t app-db redis-server >/dev/null
"$moby" image from-host -t app-web busybox getent >/dev/null    # getent: it brings the C library

"$moby" network create app >/dev/null
"$moby" volume create app-data >/dev/null

"$moby" run -d --name db --network app --restart always -v app-data:/data \
    app-db redis-server --dir /data --appendonly yes --bind 0.0.0.0 --protected-mode no >/dev/null

# A page that asks the database: busybox's web server runs it for each request.
"$moby" run -d --name web --network app --restart always -p "$port:80" app-web busybox sh -c '
    busybox mkdir -p /www/cgi-bin
    busybox cat > /www/cgi-bin/hits <<"PAGE"
#!/bin/busybox sh
echo "Content-Type: text/plain"; echo
printf "INCR hits\r\nQUIT\r\n" | busybox nc -w 5 db 6379 | busybox head -n 1 | busybox tr -d ":\r"
PAGE
    busybox chmod 755 /www/cgi-bin/hits
    exec busybox httpd -f -p 80 -h /www' >/dev/null

"$moby" run --rm --network app app-web busybox sh -c '
    for try in 1 2 3 4 5 6 7 8 9 10; do
        hits=$(busybox wget -q -T 5 -O - http://web/cgi-bin/hits) && [ -n "$hits" ] && break
        busybox sleep 0.3
    done
    echo "the client says: hit number ${hits:?the web server does not answer}"'
echo "and from here: http://localhost:$port/cgi-bin/hits"
