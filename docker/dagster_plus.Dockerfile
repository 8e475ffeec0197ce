# The image for Dagster+: the platform's, and the library by which Dagster's agent talks to it.
ARG IMAGE=crm-assets:0.1.0
# hadolint ignore=DL3006
FROM ${IMAGE}
USER 0:0
COPY requirements-dagster-plus.lock /tmp/
# The platform's packages are in a tree without pip; that of the system puts more into it.
RUN /usr/local/bin/python -m pip --python /opt/crm/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement /tmp/requirements-dagster-plus.lock \
    && rm /tmp/requirements-dagster-plus.lock
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --retries=6 CMD ["python", "/opt/crm/healthy.py", "code"]
