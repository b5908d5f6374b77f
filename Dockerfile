# The image of source-close. The first stage builds the wheel and an environment; the second has only the environment.
ARG BASE_IMAGE=docker.io/library/python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python3 -m venv /opt/source-close
# The locked packages are installed first, so that this layer is reused until the lock file changes.
COPY requirements.lock ./
RUN /opt/source-close/bin/python -m pip install --quiet --requirement requirements.lock
COPY . .
RUN python3 -m pip wheel --quiet --no-deps --wheel-dir /wheel . \
    && /opt/source-close/bin/python -m pip install --quiet --no-deps /wheel/*.whl \
    && /opt/source-close/bin/python -m pip check \
    && /opt/source-close/bin/python -m pip uninstall --quiet --yes pip \
    # The tests that pandas and other packages include take a fifth of the space.
    && find /opt/source-close -type d -name tests -prune -exec rm -r {} +

FROM ${BASE_IMAGE}
LABEL io.airbyte.name="ghcr.io/source-close/source-close" \
      io.airbyte.version="0.2.0"
# Some base images, such as Airbyte's, already have this user.
RUN id airbyte >/dev/null 2>&1 || useradd --create-home --uid 1000 airbyte
COPY --from=build /opt/source-close /opt/source-close
ENV PATH="/opt/source-close/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    AIRBYTE_ENTRYPOINT="source-close"
USER airbyte
WORKDIR /home/airbyte
ENTRYPOINT ["source-close"]
