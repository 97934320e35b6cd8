"""The seccomp policy of the outer container: what it is made from, how it was learnt, how large it is.

calls.py     each allowed call with its reason, and the forms of it that are allowed; by hand
compose.py   calls -> `sandbox/image/seccomp.json`, and the policies that learn; pure
learn.py     what the stack really calls: every document, runtime and platform, until nothing new comes
kernel.py    the kernel's log of calls; numbers and names
listener.py  the arguments of calls, from the kernel's own notifications
seen.json    what was learnt; by machine
count.py     our policy and others, counted the same way
trim.py      what goes on without which call

Tools for those who change the policy: the service imports nothing of this room, and reads the JSON only.
"""
