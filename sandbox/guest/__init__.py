"""Untrusted: what runs inside gVisor and opens the document. Nothing it says is believed outside.

It imports `sandbox.contract` and what the image holds (Python, PyMuPDF, libmagic, Pillow), nothing else of the
project. One process, one document, then it ends.
"""
