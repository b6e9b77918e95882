#!/usr/bin/env bash
# OpenStack Swift with its S3 API on loopback: a real S3 server for tests and benchmarks.
#
#   scripts/s3_server.sh start    install (first time) and start; prints what to export
#   scripts/s3_server.sh stop     stop it and delete its data
#   scripts/s3_server.sh pause    stop the part that answers requests; `resume` starts it
#
# Its own virtual environment, because its dependencies are not ours. S3_SERVER_DIR and
# S3_SERVER_PORT move it. Signatures are checked: a wrong key is refused.
set -euo pipefail
cd "$(dirname "$0")/.."
DIR=$(realpath -m "${S3_SERVER_DIR:-.s3_server}")
PORT=${S3_SERVER_PORT:-18080}
VERSION=2.38.3

install() {
  test -e "$DIR/venv/.done-$VERSION" && return
  mkdir -p "$DIR"
  "${PYTHON:-python3}" -m venv "$DIR/venv"
  "$DIR/venv/bin/pip" install --quiet "swift==$VERSION"
  touch "$DIR/venv/.done-$VERSION"
}

configure() {
  rm -rf "$DIR/etc" "$DIR/data"
  mkdir -p "$DIR/etc" "$DIR/data/disk"
  printf '[swift-hash]\nswift_hash_path_suffix = loopback\n' > "$DIR/etc/swift.conf"
  local offset=1 kind
  for kind in account container object; do
    ring "$kind" $((PORT + offset))
    cat > "$DIR/etc/$kind-server.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $((PORT + offset))
workers = 0
devices = $DIR/data
mount_check = false
swift_dir = $DIR/etc
user = $(id -un)
log_level = ERROR
log_statsd_host =
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
disk_chunk_size = 4194304
network_chunk_size = 4194304
CONF
    offset=$((offset + 1))
  done
  cat > "$DIR/etc/proxy-server.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $PORT
workers = 0
swift_dir = $DIR/etc
user = $(id -un)
log_level = ERROR
[pipeline:main]
pipeline = catch_errors listing_formats s3api tempauth slo dlo proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
user_test_reader = reading
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[app:proxy-server]
use = egg:swift#proxy
client_chunk_size = 4194304
object_chunk_size = 4194304
account_autocreate = true
allow_account_management = true
conn_timeout = 5
node_timeout = 60
CONF
}

ring() {
  local builder="$DIR/etc/$1.builder" bin="$DIR/venv/bin/swift-ring-builder"
  "$bin" "$builder" create 1 1 0 > /dev/null
  "$bin" "$builder" add "r1z1-127.0.0.1:$2/disk" 1 > /dev/null
  "$bin" "$builder" rebalance > /dev/null
}

launch() {
  local name
  for name in "$@"; do
    PYTHONWARNINGS=ignore SWIFT_CONF_DIR="$DIR/etc" setsid "$DIR/venv/bin/python" \
      "$DIR/venv/bin/swift-$name-server" "$DIR/etc/$name-server.conf" \
      > "$DIR/$name.log" 2>&1 < /dev/null &
    echo $! > "$DIR/$name.pid"
  done
  for _ in $(seq 100); do
    answers && return
    sleep 0.1
  done
  echo "the S3 server does not answer; see $DIR/*.log" >&2
  tail -n 5 "$DIR"/*.log >&2
  exit 1
}

answers() {
  "$DIR/venv/bin/python" - "$PORT" <<'PY'
import http.client, sys
try:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
    connection.request("GET", "/")
    sys.exit(connection.getresponse().status >= 500)
except OSError:
    sys.exit(1)
PY
}

end() {
  local name
  for name in "$@"; do
    test -e "$DIR/$name.pid" || continue
    kill "$(cat "$DIR/$name.pid")" 2> /dev/null || true
    rm "$DIR/$name.pid"
  done
}

case "${1:-}" in
  start)
    test -e "$DIR/proxy.pid" && end proxy account container object
    install
    configure
    launch account container object proxy
    echo "export AWS_ENDPOINT_URL=http://127.0.0.1:$PORT"
    echo "export AWS_ACCESS_KEY_ID=test:tester AWS_SECRET_ACCESS_KEY=testing"
    echo "export AWS_DEFAULT_REGION=us-east-1"
    ;;
  stop)
    end proxy account container object
    rm -rf "$DIR/data"
    ;;
  pause) end proxy ;;
  resume) launch proxy ;;
  *)
    sed -n '2,/^set/p' "$0" | grep '^#' >&2
    exit 2
    ;;
esac
