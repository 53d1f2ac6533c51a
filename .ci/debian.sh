#!/bin/sh
# Install one of Debian's packages where that can be done, or say that it is missing.
set -eu

if [ ! -f /etc/debian_version ] || [ "$(id -u)" != 0 ]; then
    echo "$1 is missing: install it and try again" >&2
    exit 1
fi
echo "installing Debian's $1 ..."
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
