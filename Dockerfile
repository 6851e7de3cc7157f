# Magpie in a container, for phones, Happy's clients and programs: it has no sound card there.
#
#   docker build -t magpie .
#   docker run -d --name magpie -p 8080:8080 -p 8443:8443 -v magpie:/data magpie
#   docker exec magpie magpie pair

FROM debian:bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates cargo-web gcc libc6-dev rustc-web
WORKDIR /src
COPY . .
# Without the sound card the program needs no library but libc.
RUN cargo build --release --locked --no-default-features

FROM debian:bookworm-slim
# Engines that understand speech and speak; empty for a box that is only typed to.
ARG SPEECH="espeak-ng flite pocketsphinx pocketsphinx-en-us"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgcc-s1 tzdata $SPEECH \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 magpie \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin magpie \
 && install -d -o magpie -g magpie -m 700 /data
COPY --from=build /src/target/release/magpie /usr/bin/magpie
ENV DATA_DIR=/data
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8080 8443
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["magpie", "--healthcheck"]
ENTRYPOINT ["magpie"]
CMD ["serve"]
