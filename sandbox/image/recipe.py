"""What is in the image, a reason a line. A change here, or in the guest, makes a new image."""

from __future__ import annotations

SUITE = "trixie"  # Debian 13: runsc with systrap, MuPDF 1.25, LibreOffice 25.2

PACKAGES = {
    "python3-minimal": "the guest's language",
    "python3": "its standard library",
    "python3-magic": "libmagic: what a document is, by content",
    "python3-olefile": "compound files: which application, encrypted or not",
    "python3-pymupdf": "PDF, EPUB, SVG, pictures, text and HTML to pixels",
    "python3-pil": "pictures that MuPDF does not read: WebP, ICO",
    "libheif-examples": "heif-dec: HEIC and AVIF, what telephones send",
    "libheif-plugin-libde265": "HEIC's decoder",
    "libheif-plugin-dav1d": "AVIF's decoder",
    "libreoffice-writer-nogui": "Word, OpenDocument text, RTF",
    "libreoffice-calc-nogui": "Excel, OpenDocument sheets, CSV",
    "libreoffice-impress-nogui": "PowerPoint, OpenDocument slides",
    "libreoffice-draw-nogui": "OpenDocument drawings",
    "libreoffice-math-nogui": "formulas inside documents",
    "libreoffice-h2orestart": "HWP and HWPX, Korea's office format; needs Java",
    "libreoffice-java-common": "LibreOffice's bridge to Java, for the line above",
    "default-jre-headless": "Java, for the same",
    "fonts-liberation": "metrics of Arial, Times New Roman, Courier New",
    "fonts-crosextra-carlito": "metrics of Calibri",
    "fonts-crosextra-caladea": "metrics of Cambria",
    "fonts-dejavu-core": "symbols and a wide fall-back",
    "fonts-noto-core": "Arabic, Hebrew, Indic, Thai and the other scripts of living languages",
    "fonts-noto-cjk": "Chinese, Japanese, Korean",
    "runsc": "gVisor, the inner wall; the outer wall's first process",
}

# Files that no conversion opens, left out when the tree is unpacked (tar patterns). Found by size; each was tried out
# over the whole corpus.
LEFT_OUT = (
    "./usr/share/doc/*",
    "./usr/share/doc-base/*",
    "./usr/share/man/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/i18n/*",
    "./usr/share/icons/*",
    "./usr/share/gtk-3.0/*",
    "./usr/share/bash-completion/*",
    "./usr/share/xml/iso-codes/*",
    "./usr/share/iso-codes/*",
    "./usr/share/lintian/*",
    "./usr/share/perl*",
    "./usr/lib/*/perl*",
    "./usr/lib/apt/*",
    "./usr/lib/systemd/*",
    "./usr/lib/udev/*",
    "./usr/lib/*/libLLVM*",  # Mesa's: nothing is drawn by a GPU
    "./usr/lib/*/libgallium*",
    "./usr/lib/*/libz3*",
    "./usr/lib/*/dri/*",
    "./usr/lib/libreoffice/program/libavmediagst.so",  # waits 20 s for the first frame of a film that it cannot play
    "./usr/lib/libreoffice/share/gallery/*",
    "./usr/lib/libreoffice/share/wizards/*",
    "./usr/lib/libreoffice/share/template/*",
)

# Of the bootstrapped system only these reach the inner root: an allow-list
KEPT = ("./usr", "./etc", "./bin", "./sbin", "./lib", "./lib64", "./var/cache/fontconfig")
# Run in the bootstrapped tree before it is packed. fontconfig believes its cache while the directories of fonts keep
# their times to the nanosecond, and tar keeps seconds: so whole seconds first, then the cache.
LAST_STEP = (
    'chroot "$1" sh -c "find /usr/share/fonts /usr/local/share/fonts -type d -exec touch -d @1000000000 {} + ; '
    'fc-cache --force --system-only"'
)
# of /etc: what fonts, the linker, LibreOffice and Java read; no account but the two below, no host name, no key
KEPT_ETC = ("alternatives", "fonts", "java-*", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "libreoffice", "magic*")
USERS = "root:x:0:0:root:/:/usr/sbin/nologin\nguest:x:1000:1000:guest:/tmp:/usr/sbin/nologin\n"
GROUPS = "root:x:0:\nguest:x:1000:\n"
