#!/bin/sh
# One of three Sentinels, which know servers by their names: addresses of containers change. Two of the three have to
# agree that the master is gone.
set -eu
folder=${RSQL_DATA:-/data}
umask 077
cat >"$folder/sentinel.conf" <<END
port ${RSQL_PORT:-26379}
dir $folder
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $RSQL_NAME
sentinel monitor rsql ${RSQL_MASTER:-redis-1} ${RSQL_MASTER_PORT:-6379} 2
sentinel auth-pass rsql $REDIS_PASSWORD
sentinel down-after-milliseconds rsql ${RSQL_PATIENCE_MS:-3000}
sentinel failover-timeout rsql 10000
END
exec redis-server "$folder/sentinel.conf" --sentinel
