# Builds every case with the BuildKit in dockerd: out/NAME/{status,log,image.tar}.
set -u
cd /mnt
export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=/run/docker-config
dockerd --host="$DOCKER_HOST" --data-root=/mnt/docker --exec-root=/run/docker --pidfile=/run/docker.pid \
    --bridge=none --iptables=false --ip6tables=false >dockerd.log 2>&1 &
tries=0
until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { tail -n 3 dockerd.log >&2; exit 1; }
    sleep 0.1
done
docker load -q -i base.tar >/dev/null || exit 1
number=0
for case in cases/*; do
    name=${case#cases/} out=/mnt/out/${case#cases/}
    # It keeps what it was sent, and takes a file of the same size and time for the same.
    number=$((number + 1))
    find "$case/context" -exec touch -h -d "@$((1000000000 + number))" {} +
    mkdir -p "$out"
    (
        cd "$case" && set --
        while IFS= read -r word; do set -- "$@" "$word"; done <flags
        docker buildx build --network=none --progress=plain -t "case:$name" "$@" context
    ) >"$out/log" 2>&1
    echo $? >"$out/status"
    [ "$(cat "$out/status")" = 0 ] || continue
    docker save -o "$out/image.tar" "case:$name" || { echo "cannot save $name" >&2; exit 1; }
done
