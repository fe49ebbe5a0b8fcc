# The gateway alone: no build tools, no tests, no demo. Its size is reckoned up in docs/image.md.
# The digest is of the index for all platforms, Python 3.13.15 on Debian 13. A newer one, for both lines:
#   docker buildx imagetools inspect python:3.13-slim --format '{{.Manifest.Digest}}'
FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build
WORKDIR /src
COPY requirements/tools.txt requirements/runtime.txt requirements/
RUN python -m venv /tools \
 && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements/tools.txt \
 && python -m venv --without-pip /opt/fairpod \
 && /tools/bin/uv pip install --python /opt/fairpod/bin/python --no-cache --require-hashes -r requirements/runtime.txt \
 # Litestar asks for a generator of test data that it needs for its OpenAPI examples alone: 27 MB that nobody loads.
 && /tools/bin/uv pip uninstall --python /opt/fairpod/bin/python faker polyfactory tzdata
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
# Modules are compiled here, since the final file system may be read-only.
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/uv pip install --python /opt/fairpod/bin/python --no-cache --no-deps /wheels/*.whl \
 && /opt/fairpod/bin/python -m compileall -q /opt/fairpod/lib

FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin fairpod
COPY --from=build /opt/fairpod /opt/fairpod
ENV PATH=/opt/fairpod/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
# Clients, and /metrics.
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["fairpod", "healthcheck"]
ENTRYPOINT ["fairpod"]
CMD ["serve"]
