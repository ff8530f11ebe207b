/* What a process inside a container sees, one fact per line: `probe report`.
 * Other modes: exit N, kill SIGNAL, cat FILE, write FILE TEXT, list DIR, syscalls NAME..., wait, trap.
 * A static program of one file, so that it runs in an image that holds nothing else. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void fields_of(const char *path, const char *const *keys) {
    FILE *file = fopen(path, "r");
    char line[4096];
    if (!file) { printf("unreadable %s %d\n", path, errno); return; }
    while (fgets(line, sizeof line, file))
        for (const char *const *key = keys; *key; key++)
            if (!strncmp(line, *key, strlen(*key)) && line[strlen(*key)] == ':') {
                char *value = line + strlen(*key) + 1;
                while (*value == ' ' || *value == '\t') value++;
                printf("%s %s", *key, value);
            }
    fclose(file);
}

static int lines_of(const char *prefix, const char *path) {
    FILE *file = fopen(path, "r");
    char line[8192];
    if (!file) { printf("unreadable %s %d\n", path, errno); return 1; }
    while (fgets(line, sizeof line, file)) printf("%s%s", prefix, line);
    fclose(file);
    return 0;
}

static int list(const char *path) {
    DIR *dir = opendir(path);
    struct dirent *entry;
    if (!dir) { printf("unreadable %s %d\n", path, errno); return 1; }
    while ((entry = readdir(dir))) {
        struct stat stat;
        char full[8192];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        if (lstat(full, &stat)) { printf("%s ? %d\n", entry->d_name, errno); continue; }
        printf("%s %o %u:%u %lld\n", entry->d_name, stat.st_mode, stat.st_uid, stat.st_gid, (long long)stat.st_size);
    }
    closedir(dir);
    return 0;
}

static void report(int argc, char **argv) {
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid, groups[256];
    char text[4096];
    getresuid(&ruid, &euid, &suid);
    getresgid(&rgid, &egid, &sgid);
    printf("uid %u %u\ngid %u %u\n", ruid, euid, rgid, egid);
    int count = getgroups(256, groups);
    printf("groups");
    for (int i = 0; i < count; i++) printf(" %u", groups[i]);
    printf("\npid %d\nppid %d\nsid %d\n", getpid(), getppid(), getsid(0));
    text[0] = 0; gethostname(text, sizeof text); printf("hostname %s\n", text);
    text[0] = 0; getdomainname(text, sizeof text); printf("domainname %s\n", text);
    if (getcwd(text, sizeof text)) printf("cwd %s\n", text);
    mode_t mask = umask(0); umask(mask); printf("umask %o\n", mask);
    for (int i = 0; i < argc; i++) printf("arg %d %s\n", i, argv[i]);
    for (char **e = environ; *e; e++) printf("env %s\n", *e);
    for (int fd = 0; fd < 3; fd++) printf("tty %d %d\n", fd, isatty(fd));
    struct winsize size;
    if (!ioctl(0, TIOCGWINSZ, &size)) printf("winsize %d %d\n", size.ws_row, size.ws_col);
    for (int fd = 3; fd < 256; fd++) if (fcntl(fd, F_GETFD) >= 0) printf("fd %d open\n", fd);
    const char *keys[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk", 0};
    fields_of("/proc/self/status", keys);
    const char *spaces[] = {"mnt", "pid", "uts", "ipc", "user", "net", "cgroup", 0};
    for (const char **s = spaces; *s; s++) {
        char path[64]; snprintf(path, sizeof path, "/proc/self/ns/%s", *s);
        ssize_t n = readlink(path, text, sizeof text - 1);
        printf("ns %s %.*s\n", *s, n > 0 ? (int)n : 1, n > 0 ? text : "?");
    }
    struct { const char *name; int number; } limits[] = {
        {"core", RLIMIT_CORE}, {"cpu", RLIMIT_CPU}, {"data", RLIMIT_DATA}, {"fsize", RLIMIT_FSIZE}, {"memlock", RLIMIT_MEMLOCK},
        {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"stack", RLIMIT_STACK}, {"as", RLIMIT_AS}, {0, 0}};
    for (int i = 0; limits[i].name; i++) {
        struct rlimit limit;
        getrlimit(limits[i].number, &limit);
        printf("rlimit %s %lld %lld\n", limits[i].name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *names = if_nameindex();
    for (struct if_nameindex *n = names; n && n->if_index; n++) {
        struct ifreq request; memset(&request, 0, sizeof request);
        strncpy(request.ifr_name, n->if_name, IFNAMSIZ - 1);
        int up = sock >= 0 && !ioctl(sock, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;
        printf("interface %s %s\n", n->if_name, up ? "up" : "down");
    }
    if (sock >= 0) close(sock);
    lines_of("mount ", "/proc/self/mountinfo");
    lines_of("uid_map ", "/proc/self/uid_map");
    lines_of("cgroup ", "/proc/self/cgroup");
    const char *files[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/sys/firmware", "/proc/sys/kernel/hostname",
                           "/proc/sysrq-trigger", "/dev/null", "/dev/kmsg", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", 0};
    for (const char **f = files; *f; f++) {
        struct stat stat;
        int fd = open(*f, O_RDONLY | O_CLOEXEC | O_NONBLOCK), read_errno = fd < 0 ? errno : 0;
        ssize_t n = fd < 0 ? -1 : read(fd, text, 1);
        if (fd >= 0) close(fd);
        fd = open(*f, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        int write_errno = fd < 0 ? errno : 0;
        if (fd >= 0) close(fd);
        printf("file %s read %d bytes %zd write %d type %o\n", *f, read_errno, n, write_errno, lstat(*f, &stat) ? 0 : stat.st_mode & S_IFMT);
    }
}

/* 0 or the errno of a call that a container should, or should not, be let to make. */
static int try_call(const char *name) {
    long r;
    errno = 0;
    if (!strcmp(name, "getpid")) r = syscall(SYS_getpid);
    else if (!strcmp(name, "unshare_user")) r = unshare(CLONE_NEWUSER);
    else if (!strcmp(name, "unshare_mnt")) r = unshare(CLONE_NEWNS);
    else if (!strcmp(name, "mount")) r = mount("none", "/tmp", "tmpfs", 0, "");
    else if (!strcmp(name, "umount")) r = umount2("/proc", MNT_DETACH);
    else if (!strcmp(name, "pivot_root")) r = syscall(SYS_pivot_root, ".", ".");
    else if (!strcmp(name, "keyctl")) r = syscall(SYS_keyctl, 0, -3, 0, 0, 0);
    else if (!strcmp(name, "add_key")) r = syscall(SYS_add_key, "user", "x", "y", 1, -2);
    else if (!strcmp(name, "bpf")) r = syscall(SYS_bpf, 0, 0, 0);
    else if (!strcmp(name, "perf_event_open")) r = syscall(SYS_perf_event_open, 0, 0, -1, -1, 0);
    else if (!strcmp(name, "userfaultfd")) r = syscall(SYS_userfaultfd, 0);
    else if (!strcmp(name, "ptrace")) r = syscall(SYS_ptrace, 0, 0, 0, 0);
    else if (!strcmp(name, "reboot")) r = syscall(SYS_reboot, 0, 0, 0, 0);
    else if (!strcmp(name, "kexec_load")) r = syscall(SYS_kexec_load, 0, 0, 0, 0);
    else if (!strcmp(name, "init_module")) r = syscall(SYS_init_module, 0, 0, 0);
    else if (!strcmp(name, "setns")) r = syscall(SYS_setns, -1, 0);
    else if (!strcmp(name, "sethostname")) r = sethostname("probe", 5);
    else if (!strcmp(name, "mknod")) r = mknod("/tmp/probe-null", S_IFCHR | 0666, 0x103);
    else if (!strcmp(name, "chown")) r = chown("/tmp", 1, 1);
    else if (!strcmp(name, "chroot")) r = chroot("/");
    else if (!strcmp(name, "setuid")) r = setuid(1000);
    else if (!strcmp(name, "raw_socket")) r = socket(AF_INET, SOCK_RAW, 1);
    else if (!strcmp(name, "vsock")) r = socket(40, SOCK_STREAM, 0);
    else if (!strcmp(name, "tiocsti")) r = ioctl(0, 0x5412, "x");
    else if (!strcmp(name, "clone3")) r = syscall(SYS_clone3, 0, 0);
    else if (!strcmp(name, "open_by_handle_at")) r = syscall(304, -1, 0, 0);
    else if (!strcmp(name, "personality")) r = syscall(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */);
    else return -1;
    return r < 0 ? errno : 0;
}

static volatile sig_atomic_t caught;
static void on_signal(int number) { caught = number; }

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "report";
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    if (!strcmp(mode, "exit")) return atoi(argv[2]);
    if (!strcmp(mode, "kill")) { raise(atoi(argv[2])); return 99; }
    if (!strcmp(mode, "cat")) return lines_of("", argv[2]);
    if (!strcmp(mode, "list")) return list(argc > 2 ? argv[2] : "/");
    if (!strcmp(mode, "write")) {
        int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0) { fprintf(stderr, "%s: %s\n", argv[2], strerror(errno)); return 1; }
        return write(fd, argv[3], strlen(argv[3])) < 0;
    }
    if (!strcmp(mode, "syscalls")) {
        /* Each in a child of its own: some end or change the process. */
        for (int i = 2; i < argc; i++) {
            fflush(stdout);
            pid_t child = fork();
            if (!child) _exit(try_call(argv[i]));
            int status = 0;
            waitpid(child, &status, 0);
            if (WIFSIGNALED(status)) printf("%s signal %d\n", argv[i], WTERMSIG(status));
            else printf("%s %d\n", argv[i], WEXITSTATUS(status));
        }
        return 0;
    }
    if (!strcmp(mode, "echo-stdin")) {
        char text[65536]; ssize_t n;
        while ((n = read(0, text, sizeof text)) > 0) if (write(1, text, n) != n) return 1;
        return 0;
    }
    if (!strcmp(mode, "trap")) {
        /* Says that it is ready, waits for a signal, says which. */
        for (int s = 1; s < 32; s++) if (s != SIGKILL && s != SIGSTOP && s != SIGCHLD) signal(s, on_signal);
        puts("ready"); fflush(stdout);
        while (!caught) pause();
        printf("caught %d\n", (int)caught);
        return 0;
    }
    if (!strcmp(mode, "sleep")) { sleep(argc > 2 ? atoi(argv[2]) : 1000); return 0; }
    if (!strcmp(mode, "orphan")) {
        /* Leaves a zombie to pid 1 and counts the zombies a moment later. */
        if (!fork()) { if (!fork()) { usleep(20000); _exit(0); } _exit(0); }
        wait(0);
        usleep(120000);
        DIR *dir = opendir("/proc"); struct dirent *entry; int zombies = 0;
        while (dir && (entry = readdir(dir))) {
            char path[300], line[512]; FILE *file;
            if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
            snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
            if (!(file = fopen(path, "r"))) continue;
            if (fgets(line, sizeof line, file) && strstr(line, ") Z ")) zombies++;
            fclose(file);
        }
        printf("zombies %d\n", zombies);
        return 0;
    }
    report(argc, argv);
    return 0;
}
