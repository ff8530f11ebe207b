# Starts a daemon in the folder at hand, and waits until it answers.
export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=/run/docker-config
dockerd --host="$DOCKER_HOST" --data-root=/mnt/docker --exec-root=/run/docker --pidfile=/run/docker.pid \
    --bridge=none --iptables=false --ip6tables=false >dockerd.log 2>&1 &
tries=0
until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { tail -n 3 dockerd.log >&2; exit 1; }
    sleep 0.1
done
