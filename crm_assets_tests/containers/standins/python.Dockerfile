# Stands in for python:3.11-slim where no registry of images can be reached: Debian with its own Python 3.11, and the
# certificates that the host trusts. base.tar is made by prepare.sh.
FROM scratch
ADD base.tar /
COPY certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN ln -s /usr/bin/python3 /usr/local/bin/python \
    && rm -rf /usr/lib/python3*/EXTERNALLY-MANAGED /usr/share/doc /usr/share/man /usr/share/locale \
    # As the official image does, whose layers hold no index of packages.
    && echo 'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache ""; DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };' \
        >/etc/apt/apt.conf.d/docker-clean
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
CMD ["python"]
