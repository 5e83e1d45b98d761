#!/bin/sh
# Take down what up.sh made; the data goes too.
set -eu
moby=${1:?usage: down.sh OUT/bin/NAME}
"$moby" rm -f web db >/dev/null
"$moby" network rm app >/dev/null
"$moby" volume rm app-data >/dev/null
"$moby" rmi app-web app-db >/dev/null
