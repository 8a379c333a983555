# The HTTP service of memoryscope-rag. docker-compose.yml builds and runs it; docs/operations.md says how.
FROM python:3.13.9-slim-trixie AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY memoryscope_rag memoryscope_rag
RUN python -m venv /opt/memoryscope-rag \
    && /opt/memoryscope-rag/bin/pip install --no-cache-dir --disable-pip-version-check \
       -c constraints.txt '.[service,elasticsearch,openai,otel]'

FROM python:3.13.9-slim-trixie
RUN useradd --system --uid 10001 --create-home memory \
    && install --directory --owner=memory --group=memory --mode=700 /data
COPY --from=build /opt/memoryscope-rag /opt/memoryscope-rag
ENV PATH=/opt/memoryscope-rag/bin:$PATH \
    PYTHONUNBUFFERED=1
USER memory
WORKDIR /data
VOLUME /data
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8765/health', timeout=4)"]
ENTRYPOINT ["memoryscope-rag"]
CMD ["serve", "--host", "0.0.0.0", "--workers", "2"]
