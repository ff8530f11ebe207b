# enter.sh ROOT WORK SCRIPT: runs WORK/SCRIPT in a root of its own mounts; `unshare` ends what it leaves behind.
set -eu
root=$1 work=$2 script=$3
mount --make-rprivate /
mount --bind "$root" "$root" # dockerd asks that its root be a mount
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for folder in run tmp mnt; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
mount --bind "$work" "$root/mnt"
exec chroot "$root" sh "/mnt/$script"
