#!/bin/sh
# See that Spark will find a Java of 17 to 23; on Debian or Ubuntu, as root, install one.
set -eu

major() {
    "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 |
        sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

fits() {
    version=$(major)
    [ -n "$version" ] && [ "$version" -ge 17 ] && [ "$version" -le 23 ]
}

if fits; then
    exit 0
fi
here=$(dirname "$0")
if [ -z "${JAVA_HOME:-}" ] && [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    sh "$here/debian.sh" openjdk-17-jre-headless || sh "$here/debian.sh" openjdk-21-jre-headless
    fits && exit 0
fi
seen=$(major)
echo "Spark needs Java 17 (17 to 23 will do); found: ${seen:-none}. Install it, for instance with" \
    "\`apt-get install openjdk-17-jre-headless\`, \`dnf install java-17-openjdk-headless\` or" \
    "\`brew install openjdk@17\`, and let JAVA_HOME point to it." >&2
exit 1
