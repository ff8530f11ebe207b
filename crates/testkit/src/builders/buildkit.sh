# Builds every case with the BuildKit in dockerd: out/NAME/{status,log,image.tar}.
set -u
cd /mnt
. /mnt/dockerd.sh
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
