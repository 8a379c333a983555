"""The store on an Elasticsearch cluster.

Raises MissingExtra when it is imported without the packages of the extra ``elasticsearch``.
"""

from memoryscope_rag.errors import MissingExtra

try:
    import aiohttp  # noqa: F401
    import elasticsearch  # noqa: F401
    import orjson  # noqa: F401
except ImportError as error:
    raise MissingExtra("elasticsearch", "a store on Elasticsearch") from error
