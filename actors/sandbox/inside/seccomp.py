"""The system-call policy, and its assembly into the kernel's BPF language.

Threat model: the program inside is hostile and may call the kernel directly (ctypes, forged bytecode). What
it may reach is the list ALLOW and the argument rules below; everything else is refused:

- acts that no honest program performs (sockets, exec, ptrace, signals to others, namespaces, writing files)
  kill it, which the supervisor sees as SIGSYS: the verdict `policy` is certain;
- reading files fails with EACCES and starting threads or processes with EPERM, as an ordinary refusal, so
  that `import x` of something absent stays a plain ModuleNotFoundError;
- what the policy does not name fails with ENOSYS; another architecture or the x32 numbering kills.

Not covered: kernel bugs behind the calls that remain (futex, mmap, clone in the exact shape the zygote needs).
"""

import errno
import struct
from collections.abc import Mapping
from typing import NamedTuple

from .kernel import CHILD_CLONE_FLAGS, PR_SET_PDEATHSIG, SECCOMP_SET_MODE_FILTER, SIGKILL

ALLOW_CALL = 0x7FFF0000
KILL_PROCESS = 0x80000000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000
WRITE_INTENT = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000  # WRONLY RDWR CREAT TRUNC APPEND TMPFILE
PROT_EXEC = 4
F_DUPFD_CLOEXEC = 1030

ALLOW = """
    read write close fstat lseek munmap brk rt_sigaction rt_sigprocmask rt_sigreturn poll select pselect6 ppoll
    sched_yield mremap madvise mincore dup dup2 dup3 pause nanosleep clock_nanosleep getitimer alarm setitimer getpid
    gettid getppid getpgrp getuid geteuid getgid getegid getresuid getresgid getgroups exit exit_group wait4 waitid
    uname getcwd gettimeofday time getrlimit getrusage times sigaltstack futex sched_getaffinity restart_syscall
    clock_gettime clock_getres set_robust_list set_tid_address pipe2 getrandom membarrier rseq pidfd_send_signal
    close_range readv writev getcpu umask rt_sigpending
"""

REFUSE_READING = """
    stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 chdir fchdir
    inotify_init1 pread64
"""

REFUSE = """
    socketpair tkill tgkill fork vfork sysinfo sched_setaffinity sched_setscheduler setpriority epoll_create1 eventfd2
    timer_create memfd_create flock ftruncate pwrite64 setsid setpgid arch_prctl shmget mq_open semget msgget fchmod
    fchown fsync sendfile setrlimit landlock_create_ruleset landlock_restrict_self pkey_mprotect
"""

KILL = """
    socket connect accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg bind listen execve execveat ptrace
    process_vm_readv process_vm_writev kill rt_sigqueueinfo rt_tgsigqueueinfo creat rename renameat renameat2 mkdir
    mkdirat rmdir link linkat unlink unlinkat symlink symlinkat chmod fchmodat fchmodat2 chown lchown fchownat mknod
    mknodat truncate setuid setgid setreuid setregid setresuid setresgid setgroups capset personality chroot pivot_root
    mount umount2 unshare setns bpf userfaultfd io_uring_setup io_uring_enter io_uring_register pidfd_open pidfd_getfd
    openat2 kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff iopl ioperm
    perf_event_open keyctl add_key request_key open_by_handle_at name_to_handle_at acct quotactl sethostname
    setdomainname settimeofday clock_settime adjtimex modify_ldt vmsplice process_madvise mount_setattr move_mount
    fsopen open_tree memfd_secret utimensat utimes setxattr fanotify_init syslog
"""


def refuse(code: int) -> int:
    return 0x00050000 | code


class ArgumentRule(NamedTuple):
    """`call` is answered `then` if all its checks hold, else `otherwise`. A check is (argument, test, value)."""

    call: str
    checks: tuple[tuple[int, str, int], ...]  # test: "equals" or "lacks_bits", on the low 32 bits
    otherwise: int
    then: int = ALLOW_CALL


ARGUMENT_RULES = (
    ArgumentRule("mmap", ((2, "lacks_bits", PROT_EXEC),), refuse(errno.EPERM)),
    ArgumentRule("mprotect", ((2, "lacks_bits", PROT_EXEC),), refuse(errno.EPERM)),
    ArgumentRule("clone", ((0, "equals", CHILD_CLONE_FLAGS),), refuse(errno.EPERM)),
    ArgumentRule("prlimit64", ((0, "equals", 0),), refuse(errno.EPERM)),
    ArgumentRule("seccomp", ((0, "equals", SECCOMP_SET_MODE_FILTER),), refuse(errno.EPERM)),
    ArgumentRule("prctl", ((0, "equals", PR_SET_PDEATHSIG), (1, "equals", SIGKILL)), refuse(errno.EPERM)),
    ArgumentRule("open", ((1, "lacks_bits", WRITE_INTENT),), KILL_PROCESS, refuse(errno.EACCES)),
    ArgumentRule("openat", ((2, "lacks_bits", WRITE_INTENT),), KILL_PROCESS, refuse(errno.EACCES)),
)
FCNTL_ALLOWED = (1, 2, 3, F_DUPFD_CLOEXEC)  # GETFD SETFD GETFL and the close-on-exec duplicate
DENIED_IN_CHILD = ("clone", "pidfd_send_signal", "prlimit64", "seccomp", "prctl")  # what only the zygote needs

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def zygote_filter(machine: str, numbers: Mapping[str, int]) -> bytes:
    """The filter that the zygote puts on itself and that every child inherits."""
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH_OFFSET), (_JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine])]
    code += [(_RETURN, 0, 0, KILL_PROCESS), (_LOAD, 0, 0, _NUMBER_OFFSET)]
    code += [(_JUMP_AT_LEAST, 0, 1, X32_BIT), (_RETURN, 0, 0, KILL_PROCESS)]
    for rule in ARGUMENT_RULES:
        if rule.call in numbers:
            code += _argument_block(rule, numbers[rule.call])
    code += _fcntl_block(numbers["fcntl"])
    answers = [(ALLOW, ALLOW_CALL), (REFUSE_READING, refuse(errno.EACCES)), (REFUSE, refuse(errno.EPERM))]
    answers += [("ioctl", refuse(errno.ENOTTY)), (KILL, KILL_PROCESS)]
    for names, answer in answers:
        for name in names.split():
            if name in numbers:
                code += [(_JUMP_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, answer)]
    code.append((_RETURN, 0, 0, refuse(errno.ENOSYS)))
    return _assemble(code)


def child_filter(numbers: Mapping[str, int]) -> bytes:
    """The small second filter of each child: takes away what the first one allows for the zygote's own sake."""
    denied = [numbers[name] for name in DENIED_IN_CHILD]
    code: list[Instruction] = [(_LOAD, 0, 0, _NUMBER_OFFSET)]
    code += [(_JUMP_EQUAL, len(denied) - position, 0, number) for position, number in enumerate(denied)]
    code += [(_RETURN, 0, 0, ALLOW_CALL), (_RETURN, 0, 0, refuse(errno.EPERM))]
    return _assemble(code)


def _argument_block(rule: ArgumentRule, number: int) -> list[Instruction]:
    block: list[Instruction] = []
    for left, (argument, test, value) in zip(range(len(rule.checks) - 1, -1, -1), rule.checks, strict=True):
        to_otherwise = 2 * left + 1  # over the remaining checks and the `then` answer
        block.append((_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument))
        if test == "equals":
            block.append((_JUMP_EQUAL, 0, to_otherwise, value))
        else:
            block.append((_JUMP_BITS, to_otherwise, 0, value))
    block += [(_RETURN, 0, 0, rule.then), (_RETURN, 0, 0, rule.otherwise)]
    return [(_JUMP_EQUAL, 0, len(block), number), *block]


def _fcntl_block(number: int) -> list[Instruction]:
    block: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8)]
    block += [(_JUMP_EQUAL, len(FCNTL_ALLOWED) - i, 0, command) for i, command in enumerate(FCNTL_ALLOWED)]
    block += [(_RETURN, 0, 0, refuse(errno.EPERM)), (_RETURN, 0, 0, ALLOW_CALL)]
    return [(_JUMP_EQUAL, 0, len(block), number), *block]


def _assemble(code: list[Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)
