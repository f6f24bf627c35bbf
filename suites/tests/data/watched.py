"""The load of `watched.perf.txt` and `watched.trace-cmd.txt`, recorded on a machine of two CPUs that
compiled beside it, by root, with tracefs mounted:

    perf record -e sched:sched_switch -a -o perf.data taskset -c 0 python3 watched.py 0.05
    perf script -i perf.data > watched.perf.txt

    echo 1 > /sys/kernel/tracing/events/sched/sched_switch/enable
    taskset -c 0 python3 watched.py 0.03
    trace-cmd extract -o trace.dat && trace-cmd report -i trace.dat > watched.trace-cmd.txt

Two tasks answer each other through pipes, `worker` and `watched`; the second has a hardware watchpoint
on a variable that it writes. A third, `sleeper`, sleeps and works a little.
"""

import ctypes
import os
import struct
import sys
import time

PR_SET_NAME = 15
SYS_PERF_EVENT_OPEN = 298
PERF_TYPE_BREAKPOINT, HW_BREAKPOINT_W, ATTR_SIZE = 5, 2, 112

libc = ctypes.CDLL(None, use_errno=True)
watched = ctypes.c_ulonglong(0)


def name(text):
    libc.prctl(PR_SET_NAME, text.encode(), 0, 0, 0)


def watch():
    """Counts this task's writes to `watched`."""
    attr = bytearray(ATTR_SIZE)
    struct.pack_into("IIQQQQ", attr, 0, PERF_TYPE_BREAKPOINT, ATTR_SIZE, 0, 1, 0, 0)
    struct.pack_into("IIQQ", attr, 48, 0, HW_BREAKPOINT_W, ctypes.addressof(watched), 8)
    buffer = (ctypes.c_char * ATTR_SIZE).from_buffer(attr)
    fd = libc.syscall(SYS_PERF_EVENT_OPEN, buffer, 0, -1, -1, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return fd


def work(rounds):
    return sum(range(rounds))


end = time.monotonic() + float(sys.argv[1])
question, ask = os.pipe()
answer, reply = os.pipe()
if os.fork() == 0:
    name("worker")
    os.close(ask)
    os.close(answer)
    while os.read(question, 1):
        work(300)
        os.write(reply, b"x")
    os._exit(0)
if os.fork() == 0:
    name("sleeper")
    while time.monotonic() < end:
        time.sleep(0.003)
        work(2000)
    os._exit(0)
name("watched")
hits = watch()
while time.monotonic() < end:
    os.write(ask, b"x")
    os.read(answer, 1)
    work(5000)
    watched.value += 1
    if watched.value % 8 == 0:
        time.sleep(0.001)
print(watched.value, "writes,", struct.unpack("Q", os.read(hits, 8))[0], "seen", flush=True)
os._exit(0)
