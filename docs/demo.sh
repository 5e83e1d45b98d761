#!/bin/sh
# The main job, end to end: build a platform from a blueprint, start it, get an image, run
# containers, take everything down. `make demo` runs it on a fresh clone; root is not needed.
set -eu
cd "$(dirname "$0")/.."
moby=.venv/bin/moby-py
blueprint=${1:-blueprints/quickstart.yaml}
work=$(mktemp -d /tmp/moby-demo.XXXXXX)
# A place of its own for state and run-time files, so that a demo never meets a platform of yours.
MOBY_PY_STATE=$work/state MOBY_PY_RUN=$work/run
export MOBY_PY_STATE MOBY_PY_RUN
out=$work/out

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
# The words as they would be typed: quoted where a shell would take them apart.
typed() {
    for word; do
        case $word in *[!a-zA-Z0-9_./:=@,-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
}
show() { printf '%s$%s%s\n' "$bold" "$(typed "$@")" "$plain"; "$@"; }
finish() {
    status=$?
    "$moby" down "$out" >/dev/null 2>&1 || true
    rm -rf "$work"
    [ $status = 0 ] || echo "the demo stopped with status $status"
}
trap finish EXIT INT TERM

say "a blueprint says which parts to wire together"
show cat "$blueprint"

say "build writes the platform; up starts it"
show "$moby" build "$blueprint" -o "$out"
show "$moby" up -d "$out"
name=$(basename "$out"/bin/*)
me() { printf '%s$%s%s\n' "$bold" "$(typed "$name" "$@")" "$plain"; "$out/bin/$name" "$@"; }

say "an image: from a registry when one answers, else made of this host's own programs"
image=docker.io/library/busybox:latest
if timeout 15 "$out/bin/$name" pull -q $image 2>/dev/null; then
    echo "pulled $image"
    lookup=nslookup
else
    echo "no registry answers here; making demo/tools out of programs of this host"
    image=demo/tools lookup="getent hosts"
    me image from-host --tag $image sh echo ls cat id sleep uname getent
fi
me images

say "a container"
me run --rm $image echo hello
echo "from standard input" | me run --rm -i $image cat
me run --rm $image sh -c 'exit 7' || echo "its exit status: $?"

say "one that stays: ps, exec, logs"
me run -d --name worker $image sh -c 'echo working; while :; do sleep 1; done'
me ps
me exec worker sh -c 'echo "inside, as $(id -u), on $(uname -s)"'
me logs worker

say "a secret: a file inside, and nowhere else"
printf 'correct horse' | me secret create db_password -
me run --rm --secret db_password $image cat /run/secrets/db_password
echo

say "a volume outlives its containers"
me run --rm -v notes:/notes $image sh -c 'echo kept > /notes/one'
me run --rm -v notes:/notes $image cat /notes/one

word=bridge
[ "$(id -u)" = 0 ] || word=pasta
say "another network is one word away ($word), and everything stays"
if "$moby" check "$blueprint" --set components.network=$word >/dev/null 2>&1; then
    me stop -t 0 worker
    show "$moby" build "$blueprint" --set components.network=$word -o "$out"
    show "$moby" down "$out"
    show "$moby" up -d "$out"
    me network create lan
    me run -d --name db --network lan -v notes:/notes $image sleep 60
    me run --rm --network lan $image $lookup db
    me exec db cat /notes/one
    me start worker
    me ps
    me rm -f db
else
    echo "not on this host; moby-py check $blueprint --set components.network=$word says why"
fi

say "and everything down again"
me rm -f worker
show "$moby" down "$out"
echo "nothing is left but $PWD/.venv"
