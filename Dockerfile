# cotkit with hosted models, PostgreSQL, Parquet and HTML reports, for a machine that runs what a model wrote
# (--strategy program-aided) or checks a change in CI. No torch: local models want an image of their own.
#
#   docker build --tag cotkit . && docker run --rm --volume "$PWD:/work" --user "$(id -u):$(id -g)" cotkit --help
#
# Name the base by digest where builds must repeat to the byte: --build-arg PYTHON=python:3.11-slim@sha256:...
ARG PYTHON=docker.io/library/python:3.11-slim

# hadolint ignore=DL3006
FROM ${PYTHON} AS build
WORKDIR /src
RUN python -m venv /opt/cotkit
COPY requirements/container.txt requirements/
RUN /opt/cotkit/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements/container.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY cotkit cotkit
COPY prompts prompts
COPY benchmarks benchmarks
COPY published published
COPY studies studies
COPY weights weights
COPY docs/glossary.md docs/glossary.md
RUN /opt/cotkit/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

# hadolint ignore=DL3006
FROM ${PYTHON}
COPY --from=build /opt/cotkit /opt/cotkit
RUN useradd --uid 10001 --create-home cotkit && mkdir /work && chown cotkit /work
USER 10001
ENV PATH=/opt/cotkit/bin:$PATH
WORKDIR /work
ENTRYPOINT ["cotkit"]
