//! The default profile as data: what a container may ask of the kernel.
//!
//! An allow list of the strength of Docker's published default (moby/profiles, `seccomp/default.json`, 2025): the
//! calls that ordinary programs make, less those that load code into the kernel, reach other containers' objects or
//! have been a door out of a container before. A capability that is granted opens the calls it is for.

use bedplate_sys::caps::LinuxCapability;

use super::rules::{Action, Arch, Op, Profile, Rule, Test};

/// Calls allowed to every process, whatever their arguments.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
    getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
    ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
    lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
    lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
    mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
    pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir
    rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
    semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
    set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
    setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat
    sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed on kernels that check the filter again after a tracer changed the call: 4.8 and later, that is all we run on.
const TRACING: &str = "process_vm_readv process_vm_writev ptrace";

/// Calls that come with a capability.
const BY_CAPABILITY: &[(&str, &str)] = &[
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

/// Address families whose sockets may be made. Missing are those that hardly anything uses but exploits (12 DECnet, 19, 20,
/// 23, 25, 34, 37, 38 `AF_ALG`) and 40, `AF_VSOCK`, which no network namespace holds back.
const FAMILIES: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];
/// Families below this one are all allowed: local, IPv4, IPv6 and old ones.
const FAMILIES_BELOW: u64 = 12;

/// Kinds of program that `personality(2)` may ask for: Linux and Linux with 32 bits or uname 2.6, and "tell me".
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Flags of `clone(2)` that make namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// `ENOSYS`: programs fall back to `clone`, whose flags a filter can see, where `clone3` does not exist.
const ENOSYS: u16 = 38;
/// `EPERM`.
const EPERM: u16 = 1;

fn names(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The profile that containers get unless another one is asked for.
pub fn default_profile() -> Profile {
    let allow = |text: &str| Rule::new(names(text), Action::Allow);
    let test = |index, op, value, operand| Test { index, op, value, operand };
    let mut rules = vec![allow(ALWAYS), allow(TRACING)];
    rules.push(allow("socket").when(test(0, Op::Less, FAMILIES_BELOW, 0)));
    rules.extend(FAMILIES.map(|family| allow("socket").when(test(0, Op::Equal, family, 0))));
    rules.extend(PERSONALITIES.map(|kind| allow("personality").when(test(0, Op::Equal, kind, 0))));
    rules.push(
        allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls")
            .on(&[Arch::Arm, Arch::Aarch64]),
    );
    rules.push(allow("arch_prctl").on(&[Arch::X86_64]));
    rules.push(allow("modify_ldt").on(&[Arch::X86_64, Arch::X86]));
    for (capability, calls) in BY_CAPABILITY {
        // The table is a constant that a test checks.
        if let Some(capability) = LinuxCapability::by_name(capability) {
            rules.push(allow(calls).with(capability));
        }
    }
    if let Some(admin) = LinuxCapability::by_name("SYS_ADMIN") {
        rules.push(allow("clone").when(test(0, Op::MaskedEqual, NAMESPACE_FLAGS, 0)).without(admin));
        rules.push(Rule::new(names("clone3"), Action::Errno(ENOSYS)).without(admin));
    }
    Profile { default: Action::Errno(EPERM), rules }
}
