"""The HTTP service: every operation of the application under ``/v1``, for callers with API keys.

``memoryscope-rag serve`` runs it; :func:`memoryscope_rag.service.application.create_app` is the
ASGI application. Needs the extra ``service``.
"""
