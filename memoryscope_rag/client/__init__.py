"""A client of the HTTP service, with the methods of the application; needs the extra ``client``.

>>> from memoryscope_rag.client import Client
>>> with Client("http://127.0.0.1:8765", key="msk_...") as memory:          # doctest: +SKIP
...     memory.record("I moved to Lisbon in May", scope="ann")
...     print(memory.retrieve("Where does Ann live?", scope="ann").text)

:class:`Client` and :class:`AsyncClient` take and give the types of :mod:`memoryscope_rag.schema`
and raise the errors of :mod:`memoryscope_rag.errors`. What may be sent again is, with a growing,
random wait: every write carries what makes repeating it harmless.
"""

from memoryscope_rag.client.asynchronous import AsyncClient
from memoryscope_rag.client.blocking import Client
from memoryscope_rag.client.failures import ServiceError
from memoryscope_rag.client.sending import Patience

__all__ = ["AsyncClient", "Client", "Patience", "ServiceError"]
