"""The process beside rank 0 that introduces the processes of a group to each other.

Processes that mpiexec did not start need somebody who speaks its part of the Process Management Interface (PMI-1, the
wire protocol that MPICH documents as "simple PMI"): lines of ``key=value`` words by which each learns of the addresses
of the others. This file is run by its path, without corten: ``python _pmi_server.py DESCRIPTOR SIZE``, where the
descriptor is that of a listening socket. It ends when all of its connections have.
"""

import contextlib
import selectors
import socket
import sys

# Seconds without a connection after which nobody is expected any more.
PATIENCE = 60
# Bytes of a line; PMI's are shorter, and others are not spoken to.
LONGEST = 1 << 16
FIXED = {
    "init": "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0",
    "get_maxes": "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024",
    "get_appnum": "cmd=appnum appnum=0",
    "get_my_kvsname": "cmd=my_kvsname kvsname=corten",
    "finalize": "cmd=finalize_ack",
}


class Member:
    """One connection: the rank it joined with, and what it has sent of the next line."""

    def __init__(self, connection):
        self.connection, self.rank, self.begun = connection, None, b""

    def say(self, line):
        with contextlib.suppress(OSError):
            self.connection.sendall(line.encode() + b"\n")


class Server:
    """Answers the members of one group of ``size`` processes."""

    def __init__(self, listener, size):
        self.size = size
        self.values, self.members, self.waiting = {}, {}, set()
        self.complete = self.given_up = False
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)

    def run(self):
        """Serves until the last connection is closed, or nobody came."""
        connected = set()
        while True:
            events = self.selector.select(None if connected else PATIENCE)
            if not events:
                return
            for key, _ in events:
                if key.data is None:
                    member = Member(self.listener.accept()[0])
                    self.selector.register(member.connection, selectors.EVENT_READ, member)
                    connected.add(member)
                elif not self.hear(key.data):
                    self.drop(key.data)
                    connected.discard(key.data)
            if self.given_up or (self.complete and not connected):
                return

    def drop(self, member):
        """Ends a connection; whoever waits for a member that has left is told."""
        self.selector.unregister(member.connection)
        member.connection.close()
        self.waiting.discard(member)
        if self.members.get(member.rank) is member:
            del self.members[member.rank]
            if not self.complete:
                # The others find nobody here: another process of rank 0 would listen itself.
                self.given_up = member.rank == 0
                for other in self.members.values():
                    other.say(f"cmd=refused why=rank {member.rank} left before all {self.size} processes were there")

    def hear(self, member):
        """Reads and answers; False where the connection has ended or does not speak the protocol."""
        try:
            data = member.connection.recv(LONGEST)
        except OSError:
            return False
        *lines, member.begun = (member.begun + data).split(b"\n")
        if not data or len(member.begun) > LONGEST:
            return False
        return all(self.answer(member, line.decode("utf-8", "replace")) for line in lines)

    def answer(self, member, line):
        words = dict(word.partition("=")[::2] for word in line.split())
        command = words.get("cmd")
        if command == "join":
            return self.join(member, words)
        if member.rank is None:
            return False
        if command in FIXED:
            member.say(FIXED[command])
        elif command == "get_universe_size":
            member.say(f"cmd=universe_size size={self.size}")
        elif command == "put":
            self.values[words.get("key")] = words.get("value", "")
            member.say("cmd=put_result rc=0 msg=success")
        elif command == "get":
            value = self.values.get(words.get("key"))
            found = "rc=-1 msg=not_found value=unknown" if value is None else f"rc=0 msg=success value={value}"
            member.say("cmd=get_result " + found)
        elif command == "barrier_in":
            self.barrier(member)
        else:
            member.say(f"cmd={command} rc=-1 msg=unknown_command")
        return True

    def join(self, member, words):
        """Takes a process into the group; the last one's arrival is told to all."""
        try:
            rank, size = int(words["rank"]), int(words["size"])
        except (KeyError, ValueError):
            return False
        problem = None
        if size != self.size:
            problem = f"rank {rank} counts on {size} processes, rank 0 on {self.size}"
        elif rank in self.members or self.complete:
            problem = f"there is a process of rank {rank} already"
        if problem:
            member.say(f"cmd=refused why={problem}")
            return True
        member.rank = rank
        self.members[rank] = member
        if len(self.members) == self.size:
            self.complete = True
            self.selector.unregister(self.listener)
            self.listener.close()
            for other in self.members.values():
                other.say("cmd=joined")
        return True

    def barrier(self, member):
        self.waiting.add(member)
        if len(self.waiting) == self.size:
            for other in self.waiting:
                other.say("cmd=barrier_out")
            self.waiting.clear()


def main():
    """Serves on the socket that the arguments name."""
    with contextlib.suppress(KeyboardInterrupt):
        Server(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
