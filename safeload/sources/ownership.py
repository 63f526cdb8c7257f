"""Who else could change a file: the question that decides whether yesterday's digest still counts."""

from __future__ import annotations

import functools
import os
import stat


def is_ours(uid: int) -> bool:
    """Whether this owner is this user or root.

    In a user namespace, owners from outside it all show as one number; none of them can be told from root, who
    set the namespace up, so they count as root.
    """
    return uid in (0, os.geteuid()) or uid == _outside_owner()


def writable_by_others(found: os.stat_result) -> bool:
    """Whether somebody other than this user and root may write what `found` describes.

    A group that is this user's or root's own (same name, no other members) does not count as others: many systems
    give every user such a group and a umask that lets it write. Access lists count, because their mask shows in
    the group bits.
    """
    if not is_ours(found.st_uid) or found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private_group(found.st_gid)


def folder_writable_by_others(path: str) -> bool:
    """Whether somebody else may replace entries of the directory `path`, or of any directory above it.

    In a sticky directory that is ours or root's nobody can rename or remove what is not theirs. `path` must be
    absolute and without symbolic links. A directory that cannot be examined counts as writable by others.
    """
    while True:
        try:
            found = os.lstat(path)
        except OSError:
            return True
        sticky = bool(found.st_mode & stat.S_ISVTX) and is_ours(found.st_uid)
        if not stat.S_ISDIR(found.st_mode) or (writable_by_others(found) and not sticky):
            return True
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent


@functools.lru_cache(maxsize=64)
def _is_private_group(gid: int) -> bool:
    import grp
    import pwd

    try:
        group = grp.getgrgid(gid)
        owner = pwd.getpwnam(group.gr_name)
    except KeyError:
        return False
    return owner.pw_uid in (0, os.geteuid()) and owner.pw_gid == gid and set(group.gr_mem) <= {owner.pw_name}


@functools.lru_cache(maxsize=1)
def _outside_owner() -> int | None:
    """The number that stands for all owners from outside this user namespace, or `None` if there is no outside."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as stream:
            if stream.read(4096).split() == ["0", "0", "4294967295"]:
                return None
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as stream:
            return int(stream.read(32))
    except (OSError, ValueError):
        return None
