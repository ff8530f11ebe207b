# Builds every case with buildah: out/NAME/{status,log,image.tar}.
set -u
cd /mnt
export CONTAINERS_REGISTRIES_CONF=/run/registries.conf STORAGE_DRIVER=overlay
echo 'short-name-mode = "disabled"' >"$CONTAINERS_REGISTRIES_CONF"
storage='--root /mnt/buildah --runroot /run/buildah'
buildah $storage pull -q docker-archive:base.tar >/dev/null || exit 1
for case in cases/*; do
    name=${case#cases/} out=/mnt/out/${case#cases/}
    mkdir -p "$out"
    (
        cd "$case" && set --
        while IFS= read -r word; do set -- "$@" "$word"; done <flags
        buildah $storage build --isolation=chroot --network=host \
            --ulimit nofile=1024:20000 --ulimit nproc=1024:2048 --pull=never --layers --format=docker \
            --identity-label=false -t "case:$name" "$@" context
    ) >"$out/log" 2>&1
    echo $? >"$out/status"
    [ "$(cat "$out/status")" = 0 ] || continue
    buildah $storage push -q "case:$name" "docker-archive:$out/image.tar:case:$name" || exit 1
done
