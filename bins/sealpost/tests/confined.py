#!/usr/bin/env python3
"""Runs a program under what a unit file of systemd restricts, as far as that can be had without systemd: for tests, as root.

    confined.py UNIT PROGRAM FOLDER ARGUMENTS...

The program runs as nobody, with a copy of the mounts in which it finds itself at /mnt/program and FOLDER, which is all that it may
write, at /mnt/folder; what of ARGUMENTS begins with FOLDER is changed so. Of the unit are obeyed: AmbientCapabilities and
CapabilityBoundingSet, NoNewPrivileges, ProtectSystem=strict, LimitCORE, MemoryDenyWriteExecute, RestrictAddressFamilies and
SystemCallFilter, whose groups systemd-analyze knows.
"""
import ctypes
import os
import resource
import socket
import subprocess
import sys

NOBODY = 65534
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
CLONE_NEWNS = 0x20000
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
SCMP_ACT_ALLOW, SCMP_CMP_EQ = 0x7FFF0000, 4

libc = ctypes.CDLL(None, use_errno=True)


def must(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno() or -result)}")


def settings(unit):
    """The lines of the unit: all values of each key, in order."""
    found = {}
    with open(unit, encoding="utf-8") as lines:
        for line in lines:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                found.setdefault(key, []).append(value)
    return found


def calls(group):
    """The system calls of a group, or the one of this name."""
    if not group.startswith("@"):
        return {group}
    said = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True)
    words = [line.strip() for line in said.stdout.splitlines()[1:]]
    return set().union(*(calls(word) for word in words if word and not word.startswith("#")))


def allowed(filters):
    found = set()
    for value in filters:
        removes = value.startswith("~")
        named = set().union(*(calls(word) for word in value.removeprefix("~").split()))
        found = found - named if removes else found | named
    return found


def mount(source, target, kind, flags):
    must(libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, None), f"mount {target}")


def set_read_only(path, value):
    """Of a mount and all below it."""
    class Attributes(ctypes.Structure):
        _fields_ = [("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("userns", ctypes.c_uint64)]
    attributes = Attributes(1 if value else 0, 0 if value else 1, 0, 0)
    must(libc.syscall(442, -100, path.encode(), 0x8000, ctypes.byref(attributes), ctypes.sizeof(attributes)), f"mount_setattr {path}")


def see_what_may_be_seen(unit, program, folder):
    must(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/mnt", "tmpfs", 0)
    open("/mnt/program", "w", encoding="utf-8").close()
    os.mkdir("/mnt/folder")
    for path, _, files in os.walk(folder):
        for name in [".", *files]:
            os.chown(os.path.join(path, name), NOBODY, NOBODY)
    mount(program, "/mnt/program", None, MS_BIND)
    mount(folder, "/mnt/folder", None, MS_BIND)
    if "strict" in unit.get("ProtectSystem", []):
        set_read_only("/", True)
        set_read_only("/mnt/folder", False)


def do_what_may_be_done(unit):
    if unit.get("LimitCORE") == ["0"]:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if unit.get("MemoryDenyWriteExecute") == ["yes"]:
        must(libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0), "PR_SET_MDWE")
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(0x00050000 | 1))  # EPERM
    class Compare(ctypes.Structure):
        _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("value", ctypes.c_uint64), ("mask", ctypes.c_uint64)]
    names = allowed(unit["SystemCallFilter"])
    for name in sorted(names - {"socket"}):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            must(seccomp.seccomp_rule_add_array(context, SCMP_ACT_ALLOW, number, 0, None), name)
    for family in unit["RestrictAddressFamilies"][0].split() if "socket" in names else []:
        compare = Compare(0, SCMP_CMP_EQ, getattr(socket, family), 0)
        number = seccomp.seccomp_syscall_resolve_name(b"socket")
        must(seccomp.seccomp_rule_add_array(context, SCMP_ACT_ALLOW, number, 1, ctypes.byref(compare)), family)
    must(seccomp.seccomp_load(context), "seccomp")


def main():
    if sys.argv[1] == "--inside":
        do_what_may_be_done(settings(sys.argv[2]))
        os.execv("/mnt/program", ["/mnt/program", *sys.argv[3:]])
    path, program, folder, *arguments = sys.argv[1:]
    unit = settings(path)
    see_what_may_be_seen(unit, os.path.abspath(program), os.path.abspath(folder))
    may = ",".join(["-all", *("+" + word.removeprefix("CAP_").lower() for word in unit["CapabilityBoundingSet"][0].split())])
    ambient = ",".join(["-all", *("+" + word.removeprefix("CAP_").lower() for word in unit["AmbientCapabilities"][0].split())])
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--bounding-set={may}", f"--inh-caps={ambient}",
              f"--ambient-caps={ambient}", *(["--no-new-privs"] if unit.get("NoNewPrivileges") == ["yes"] else [])]
    inner = [argument.replace(os.path.abspath(folder), "/mnt/folder", 1) for argument in arguments]
    # This script and the unit lie where nobody may not look.
    for name, source in (("script", __file__), ("unit", path)):
        target = f"/mnt/folder/.{name}"
        with open(source, "rb") as content, open(target, "wb") as copy:
            copy.write(content.read())
        os.chmod(target, 0o644)
    os.chdir("/mnt/folder")
    os.execvp("setpriv", [*become, sys.executable, "/mnt/folder/.script", "--inside", "/mnt/folder/.unit", *inner])


main()
