#!/usr/bin/env bash
# Installs what the interop tests need: a JDK, gcc, the C client library,
# Python, the jars of ZooKeeper 3.4.14 and Curator 2.13.0, and kazoo with its
# own test suite.
#
# Run it as root, or as a user with sudo, on Debian or Ubuntu. It asks nothing
# and may be run again at any time: what is there already is left alone. No
# service is started. Everything that is not a system package goes to one
# directory, $OXKEEPER_PEERS (default: ${XDG_CACHE_HOME:-$HOME/.cache}/oxkeeper-peers):
#
#   jars/          class path of the Java 3.4.14 server, client and Curator
#   jars-3.9/      the same of Java 3.9.3 and Curator 5.7.1
#   kazoo-2.11.0/  kazoo's source archive, unpacked
#   venv/          Python with kazoo and the test dependencies
set -euo pipefail

PEERS="${OXKEEPER_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/oxkeeper-peers}"
PYSPARK=3.1.3   # the archive that carries ZooKeeper 3.4.14 and Curator 2.13.0
KAZOO=2.11.0
JARS=(
    zookeeper-3.4.14 log4j-1.2.17 slf4j-api-1.7.30 slf4j-log4j12-1.7.30
    curator-client-2.13.0 curator-framework-2.13.0 curator-recipes-2.13.0
    guava-14.0.1
)
PYSPARK_NEWER=4.0.0   # the archive that carries ZooKeeper 3.9.3 and Curator 5.7.1
NEWER_JARS=(
    zookeeper-3.9.3 zookeeper-jute-3.9.3 curator-client-5.7.1 curator-framework-5.7.1 curator-recipes-5.7.1
    guava-33.4.0-jre failureaccess-1.0.2 slf4j-api-2.0.16 commons-cli-1.9.0 commons-io-2.18.0
    metrics-core-4.2.30 snappy-java-1.1.10.7 jline-2.14.6 audience-annotations-0.12.0
    netty-buffer-4.1.118.Final netty-codec-4.1.118.Final netty-common-4.1.118.Final
    netty-handler-4.1.118.Final netty-resolver-4.1.118.Final netty-transport-4.1.118.Final
    netty-transport-native-unix-common-4.1.118.Final netty-transport-classes-epoll-4.1.118.Final
)

main() {
    mkdir -p "$PEERS"
    # Two runs at once (a developer's and a test's) must not mix their files.
    exec 9>"$PEERS/.lock"
    flock 9
    system_packages
    python_environment
    java_jars jars "$PYSPARK" "${JARS[@]}"
    java_jars jars-3.9 "$PYSPARK_NEWER" "${NEWER_JARS[@]}"
    kazoo_sources
    echo "The peers are ready in $PEERS."
}

# Debian packages are asked for by what they give, so that a JDK or a Python
# from another source counts as well.
system_packages() {
    local wanted=()
    if ! command -v java >/dev/null || ! command -v javac >/dev/null; then
        wanted+=(jdk)
    fi
    command -v gcc >/dev/null || wanted+=(gcc libc6-dev)
    [ -e /usr/include/zookeeper/zookeeper.h ] || wanted+=(libzookeeper-mt-dev)
    python3 -c 'import venv, ensurepip' 2>/dev/null || wanted+=(python3 python3-venv)
    # One test dependency of kazoo is compiled against Python's headers.
    python3 -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null \
        || wanted+=(python3-dev)
    [ ${#wanted[@]} -eq 0 ] && return
    echo "Installing ${wanted[*]}"
    as_root apt-get update -q
    # Newer releases have no Java 17; their default one runs 3.4.14 as well. What
    # there is can be asked only now.
    if apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1; then
        wanted=("${wanted[@]/#jdk/openjdk-17-jdk-headless}")
    else
        wanted=("${wanted[@]/#jdk/default-jdk-headless}")
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${wanted[@]}"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

python_environment() {
    local requirements mark
    requirements="$(dirname "${BASH_SOURCE[0]}")/requirements.txt"
    mark="$PEERS/venv/.requirements"
    cmp -s "$requirements" "$mark" && return
    rm -rf "$PEERS/venv"
    python3 -m venv "$PEERS/venv"
    # setuptools and wheel are there first: two archives below are built by them.
    pip install -r <(grep -E '^(setuptools|wheel)' "$requirements")
    pip install --no-build-isolation -r "$requirements"
    cp "$requirements" "$mark"
}

pip() {
    "$PEERS/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}

# java_jars <directory> <version of pyspark> <jar>...
java_jars() {
    local jar missing= directory="$PEERS/$1" version="$2" archive
    shift 2
    for jar in "$@"; do
        [ -s "$directory/$jar.jar" ] || missing=1
    done
    [ -z "$missing" ] && return
    source_archive pyspark "$version"
    archive="$PEERS/archives/pyspark-$version.tar.gz"
    local members=("${@/#/pyspark-$version/deps/jars/}")
    rm -rf "$directory.part" "$directory"
    mkdir "$directory.part"
    tar -xzf "$archive" -C "$directory.part" --strip-components=3 "${members[@]/%/.jar}"
    mv "$directory.part" "$directory"
    rm -f "$archive"
}

kazoo_sources() {
    [ -e "$PEERS/kazoo-$KAZOO/kazoo/tests/test_client.py" ] && return
    source_archive kazoo "$KAZOO"
    rm -rf "$PEERS/kazoo.part" "$PEERS/kazoo-$KAZOO"
    mkdir "$PEERS/kazoo.part"
    tar -xzf "$PEERS/archives/kazoo-$KAZOO.tar.gz" -C "$PEERS/kazoo.part" --strip-components=1
    mv "$PEERS/kazoo.part" "$PEERS/kazoo-$KAZOO"
}

source_archive() {
    [ -s "$PEERS/archives/$1-$2.tar.gz" ] && return
    mkdir -p "$PEERS/archives"
    pip download --no-deps --no-binary :all: --no-build-isolation -d "$PEERS/archives" "$1==$2"
}

main "$@"
