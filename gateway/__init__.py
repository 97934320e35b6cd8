"""The way of a message through the gateway.

    [1] smtp.server    reads the envelope and, with smtp.data_reader, the message up to the dot
    [2] mail.parse     bytes -> tree of parts, each with its byte span; mail.ambiguity notes what could be read twice
    [3] mail.plan      KEEP, FLATTEN, UNPACK, REMOVE or REFUSE for each part, with the reason
    [4] sandbox.client each part to flatten goes through a double sandbox of its own and comes back as a safe file, or
                       as what it held, each thing of which goes the same way (documents, budget, shelf, assembly)
    [5] mail.rebuild   safe files spliced in, every other byte as it came; ambiguous messages written anew; mail.witness
                       has two parsers read it once more, who must agree and find nothing that should be gone
    [6] smtp.client    the next hop; only its own 250 becomes ours

Two rooms stand beside the way: `results` keeps what came of a document for the message that comes again, `journal` what
was handed on while the client may not have heard so. Neither can cost a message when its disk fails.

Three zones: `gateway` (trusted: sockets, policy, originals; opens no document), `sandbox.host` (trusted: starts
sandboxes and reads their answers), `sandbox.guest` (untrusted: runs inside gVisor, opens the document).
"""

__version__ = "0.1.0"
