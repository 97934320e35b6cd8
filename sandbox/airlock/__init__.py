"""Semi-trusted: what the outer container holds outside gVisor.

There is no program of ours in it: only the inner container's specification, written when the image is built; `runsc`
is the first process.
"""
