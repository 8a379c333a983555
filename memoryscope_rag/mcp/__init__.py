"""One user's memory as an MCP server: tools to remember, recall, list, forget and ask why.

``memoryscope-rag mcp`` runs it, over standard input and output or over HTTP. The protocol is that
of the package ``mcp`` (Model Context Protocol, https://modelcontextprotocol.io). Needs the extra
``mcp``, and raises MissingExtra without.
"""

import importlib.util

from memoryscope_rag.errors import MissingExtra

if importlib.util.find_spec("mcp") is None:
    raise MissingExtra("mcp", "the MCP server")
