"""Write vespa_java/jars.lock anew: resolve the pinned Vespa release and record every jar.

Run by ``make regen-jars`` after VESPA_VERSION changed; needs the network and jgo. The two native
libraries have the versions that the release itself pins (dependency-versions/pom.xml there).
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

from vespa_colbert.files import atomic_file
from vespa_colbert.vespa_java.jars import LOCK_FILE, VESPA_VERSION, Jar, maven_central

LOCK = Path(__file__).parent.parent / "vespa_colbert" / "vespa_java" / LOCK_FILE

ROOTS = (
    *(
        f"com.yahoo.vespa:{artifact}:{VESPA_VERSION}"
        for artifact in (
            "config-model",
            "searchlib",
            "model-integration",
            "application",
            "linguistics-components",
        )
    ),
    "com.microsoft.onnxruntime:onnxruntime:1.23.2",
    "ai.djl.huggingface:tokenizers:0.33.0",
)

# What a running container uses and neither the config model, nor model evaluation, nor the
# embedder: checked by building 206 packages of Vespa's own tests with and without these jars, with
# equal reports. A class that is missed after all is a VespaJavaError that names it.
LEFT_OUT = (
    # clients of language model services, and their Kotlin
    "com.openai:",
    "com.squareup.okhttp3:",
    "com.squareup.okio:",
    "org.jetbrains.kotlin:",
    "com.fasterxml.jackson.module:jackson-module-kotlin:",
    # Triton
    "io.grpc:",
    "io.perfmark:",
    "com.google.api.grpc:",
    # the HTTP server and clients of a container
    "org.eclipse.jetty",
    "org.apache.httpcomponents",
    "javax.servlet:",
    "javax.ws.rs:",
    "javax.annotation:",
    "javax.xml.bind:",
    "com.sun.",
    # metrics
    "io.micrometer:",
    "io.prometheus:",
    "org.hdrhistogram:",
    # languages other than those the embedder's tokenizer covers by itself, collation
    "org.apache.opennlp:",
    "com.yahoo.vespa:opennlp-linguistics:",
    "com.huaban:",
    "com.ibm.icu:",
    # aggregation and estimates while searching
    "org.apache.datasketches:",
    "org.apache.commons:commons-math3:",
    # annotations, tests, logging front ends that nothing here speaks to
    "com.google.errorprone:",
    "com.google.j2objc:",
    "com.google.code.findbugs:",
    "org.jspecify:",
    "org.hamcrest:",
    "junit:",
    "org.slf4j:jcl-over-slf4j:",
    "org.slf4j:log4j-over-slf4j:",
    "org.apache.commons:commons-lang3:",
    "commons-io:",
    "commons-codec:",
)

KEPT = ("org.eclipse.jetty:jetty-util:",)
"""Left out with its group, but what reads a request's parameters needs it."""


def resolve() -> list[str]:
    """Return the coordinates of the roots and of all that they need at run time."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(
            repo_cache=Path(folder), remote_repos={"central": maven_central().rstrip("/")}
        )
        roots = [context.create_dependency(root) for root in ROOTS]
        direct, transitive = context.resolver.resolve(roots)
    found = [each for each in (*direct, *transitive) if each.type == "jar"]
    return [
        ":".join(filter(None, (each.groupId, each.artifactId, each.version, each.classifier)))
        for each in found
    ]


def locked(coordinate: str) -> Jar:
    """Return a jar's line of the lock, from what Maven Central has."""
    place = Jar(coordinate=coordinate, sha256="", size=0).path
    with urlopen(maven_central() + place, timeout=60) as answer:  # noqa: S310 - a constant address
        data = answer.read()
    return Jar(coordinate=coordinate, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def main() -> None:
    """Write the lock."""
    coordinates = [
        each for each in resolve() if each.startswith(KEPT) or not each.startswith(LEFT_OUT)
    ]
    with ThreadPoolExecutor(6) as threads:
        jars = list(threads.map(locked, coordinates))
    lines = [f"# Vespa {VESPA_VERSION}: coordinate, sha256, bytes. Written by `make regen-jars`."]
    lines += [f"{jar.coordinate} {jar.sha256} {jar.size}" for jar in jars]
    with atomic_file(LOCK) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stderr.write(f"{LOCK}: {len(jars)} jars, {sum(jar.size for jar in jars)} bytes\n")


if __name__ == "__main__":
    main()
