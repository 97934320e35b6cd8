"""What is in the image, a reason a line. A change here, or in the guest, makes a new image."""

from __future__ import annotations

SUITE = "trixie"  # Debian 13: runsc with systrap, MuPDF 1.25, LibreOffice 25.2

PACKAGES = {
    "python3-minimal": "the guest's language",
    "python3": "its standard library",
    "python3-magic": "libmagic: what a document is, by content",
    "python3-olefile": "compound files: which application, encrypted or not; what is in Outlook's .msg",
    "python3-chardet": "which charset a text is in that does not say so",
    "python3-webencodings": "names of charsets, as the web has them",
    "python3-libarchive-c": "libarchive: zip, 7z, rar, tar, cab and the other archives, a member at a time",
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
    "python3-uno": "the guest talks to that LibreOffice, which runs as a program",
    "fonts-liberation": "metrics of Arial, Times New Roman, Courier New",
    "fonts-crosextra-carlito": "metrics of Calibri",
    "fonts-crosextra-caladea": "metrics of Cambria",
    "fonts-dejavu-core": "symbols and a wide fall-back",
    "fonts-noto-core": "Arabic, Hebrew, Indic, Thai and the other scripts of living languages",
    "fonts-noto-cjk": "Chinese, Japanese, Korean",
    "runsc": "gVisor, the inner wall; the outer wall's first process",
}

# What of the bootstrapped system is unpacked (tar patterns; `*` stops at a slash): an allow-list. No shell, no program
# but the guest's own, no package manager: what is not there can neither be run nor read.
KEPT = {
    "./bin": "links into /usr, as programs' paths are written",
    "./lib": "likewise",
    "./lib64": "likewise: the loader's path is fixed in every program",
    "./usr/bin/python3*": "the guest's language",
    "./usr/bin/heif-dec": "HEIC and AVIF",
    "./usr/bin/runsc": "the inner wall",
    "./usr/lib64": "the loader",
    "./usr/lib/ld-linux*": "the loader on other machines than x86",
    "./usr/lib/*-linux-gnu/*.so*": "libraries; those that nothing needs are taken out again (thin.py)",
    "./usr/lib/*-linux-gnu/gconv": "character sets, for XML in old encodings",
    "./usr/lib/*-linux-gnu/libheif": "libheif's decoders",
    "./usr/lib/file": "libmagic's rules",
    "./usr/lib/locale/C.utf8": "the guest's locale",
    "./usr/lib/jvm/*/bin/java": "Java, for HWP",
    "./usr/lib/jvm/*/conf": "Java's settings",
    "./usr/lib/jvm/*/lib": "Java's own libraries and classes",
    "./usr/lib/jvm/*/release": "how LibreOffice knows Java's version",
    "./usr/lib/libreoffice": "office formats",
    "./usr/lib/python3": "the guest's libraries",
    "./usr/lib/python3.*": "Python's own library",
    "./usr/share/file": "libmagic's rules: links",
    "./usr/share/misc/magic*": "likewise",
    "./usr/share/fontconfig": "which font stands for which",
    "./usr/share/fonts": "fonts",
    "./usr/local/share/fonts": "a directory of fonts: empty, but fontconfig's cache names it",
    "./usr/share/java": "the bridge from LibreOffice to Java",
    "./usr/share/libexttextcat": "the language of a text, by its letters",
    "./usr/share/liblangtag": "names of languages",
    "./usr/share/libnumbertext": "numbers in words",
    "./usr/share/libreoffice": "LibreOffice's pictures",
    "./var/cache/fontconfig": "see LAST_STEPS",
}
# of /etc: what fonts, the linker, LibreOffice and Java read; no account but the two below, no host name, no key
KEPT_ETC = ("fonts", "java-*", "ld.so.cache", "libreoffice", "magic*")

# Of that, files that no conversion opens (tar patterns; `*` goes over slashes). Found by tracing what is opened over
# the whole corpus and a few hundred office documents more; where a document might ask for it, it stays.
LEFT_OUT = {
    "waits 20 s for the first frame of a film that it cannot play": ("./usr/lib/libreoffice/program/libavmediagst.so",),
    "starts LibreOffice with a window, looks into it or extends it: programs and libraries of the desktop": (
        "./usr/lib/libreoffice/program/gdbtrace",
        "./usr/lib/libreoffice/program/intro*.png",
        "./usr/lib/libreoffice/program/java-set-classpath",
        "./usr/lib/libreoffice/program/javaldx",
        "./usr/lib/libreoffice/program/libacclo.so",
        "./usr/lib/libreoffice/program/libcmdmaillo.so",
        "./usr/lib/libreoffice/program/libdeploymentgui.so",
        "./usr/lib/libreoffice/program/libpcrlo.so",
        "./usr/lib/libreoffice/program/libPresentationMinimizerlo.so",
        "./usr/lib/libreoffice/program/libucpchelp1.so",
        "./usr/lib/libreoffice/program/libunopkgapp.so",
        "./usr/lib/libreoffice/program/libvclplug_genlo.so",
        "./usr/lib/libreoffice/program/mailmerge.py",
        "./usr/lib/libreoffice/program/msgbox.py",
        "./usr/lib/libreoffice/program/oosplash",
        "./usr/lib/libreoffice/program/officehelper.py",
        "./usr/lib/libreoffice/program/open?l*",
        "./usr/lib/libreoffice/program/pagein-*",
        "./usr/lib/libreoffice/program/regview",
        "./usr/lib/libreoffice/program/senddoc",
        "./usr/lib/libreoffice/program/shell",
        "./usr/lib/libreoffice/program/soffice",
        "./usr/lib/libreoffice/program/uno",
        "./usr/lib/libreoffice/program/uno.bin",
        "./usr/lib/libreoffice/program/unoinfo",
        "./usr/lib/libreoffice/program/unopkg*",
        "./usr/lib/libreoffice/program/uri-encode",
        "./usr/lib/libreoffice/program/wizards",
        "./usr/lib/libreoffice/share/config/soffice.cfg/modules/*/ui/notebookbar*",
        "./usr/lib/libreoffice/share/config/wizard",
        "./usr/lib/libreoffice/share/tipoftheday",
        "./usr/lib/libreoffice/share/wizards",
        "./usr/share/libreoffice/bin",
        "./usr/share/libreoffice/share/config/images_*_*.zip",
    ),
    "the equation solver, which a dialog starts, and the four megabytes of linear algebra below it": (
        "./usr/lib/libreoffice/program/liblpsolve55.so",
        "./usr/lib/libreoffice/program/libsolverlo.so",
    ),
    "scripts in Python inside LibreOffice; and what starts one from Python by its own way": (
        "./usr/lib/libreoffice/program/libpythonloaderlo.so",
        "./usr/lib/libreoffice/program/pythonloader*",
        "./usr/lib/python3/dist-packages/unohelper.py",
    ),
    "a second reader of PDF (Poppler), for opening one in Draw: MuPDF reads them here": (
        "./usr/lib/libreoffice/program/xpdfimport",
    ),
    "material for who writes: drawings, templates, phrases, labels, macros; the lists of macros are read, they stay": (
        "./usr/lib/libreoffice/share/Scripts",
        "./usr/lib/libreoffice/share/autocorr",
        "./usr/lib/libreoffice/share/autotext",
        "./usr/lib/libreoffice/share/basic/*.xba",
        "./usr/lib/libreoffice/share/basic/*.xdl",
        "./usr/lib/libreoffice/share/gallery/*",
        "./usr/lib/libreoffice/share/labels",
        "./usr/lib/libreoffice/share/template/*",
        "./usr/lib/libreoffice/share/xslt/docbook",
        "./usr/lib/libreoffice/share/xslt/export",
    ),
    "a second copy of the settings, for the package manager, and texts about LibreOffice": (
        "./usr/lib/libreoffice/CREDITS.fodt",
        "./usr/lib/libreoffice/LICENSE.html",
        "./usr/lib/libreoffice/share/.registry",
    ),
    "Java's debugger, windows, sound, smart cards, processes and supervision": (
        "./usr/lib/jvm/*/lib/jar.binfmt",
        "./usr/lib/jvm/*/lib/jexec",
        "./usr/lib/jvm/*/lib/jfr",
        "./usr/lib/jvm/*/lib/jrt-fs.jar",
        "./usr/lib/jvm/*/lib/jspawnhelper",
        "./usr/lib/jvm/*/lib/libatk-wrapper.so",
        "./usr/lib/jvm/*/lib/libattach.so",
        "./usr/lib/jvm/*/lib/libawt_xawt.so",
        "./usr/lib/jvm/*/lib/libdt_socket.so",
        "./usr/lib/jvm/*/lib/libinstrument.so",
        "./usr/lib/jvm/*/lib/libj2*.so",
        "./usr/lib/jvm/*/lib/libjaas.so",
        "./usr/lib/jvm/*/lib/libjawt.so",
        "./usr/lib/jvm/*/lib/libjdwp.so",
        "./usr/lib/jvm/*/lib/libjsound.so",
        "./usr/lib/jvm/*/lib/libmanagement*.so",
        "./usr/lib/jvm/*/lib/librmi.so",
        "./usr/lib/jvm/*/lib/libsaproc.so",
        "./usr/lib/jvm/*/lib/libsctp.so",
        "./usr/lib/jvm/*/lib/libsplashscreen.so",
        "./usr/lib/jvm/*/lib/server/*_nocoops.jsa",  # classes loaded beforehand, for heaps above 32 GiB
    ),
    "Python's tests, tools, windows, databases and servers, and the libraries that only they need": (
        "./usr/bin/python3*-config",
        "./usr/lib/python3.*/_pyrepl",
        "./usr/lib/python3.*/asyncio",
        "./usr/lib/python3.*/config-*",
        "./usr/lib/python3.*/curses",
        "./usr/lib/python3.*/dbm",
        "./usr/lib/python3.*/ensurepip",
        "./usr/lib/python3.*/idlelib",
        "./usr/lib/python3.*/pydoc_data",
        "./usr/lib/python3.*/sqlite3",
        "./usr/lib/python3.*/test",
        "./usr/lib/python3.*/tkinter",
        "./usr/lib/python3.*/unittest",
        "./usr/lib/python3.*/venv",
        "./usr/lib/python3.*/wsgiref",
        "./usr/lib/python3.*/xmlrpc",
        "./usr/lib/python3.*/lib-dynload/_asyncio.*",
        "./usr/lib/python3.*/lib-dynload/_*test*",
        "./usr/lib/python3.*/lib-dynload/_curses*",
        "./usr/lib/python3.*/lib-dynload/_dbm.*",
        "./usr/lib/python3.*/lib-dynload/_sqlite3.*",
        "./usr/lib/python3.*/lib-dynload/_ssl.*",
        "./usr/lib/python3.*/lib-dynload/readline.*",
        "./usr/lib/python3.*/lib-dynload/xx*",
    ),
}

# Libraries that a program opens by name, so that no other names them; see thin.py
OPENED_BY_NAME = {
    "libarchive.so.13": "python3-libarchive-c",
    "libmagic.so.1": "python-magic",
    "libsoftokn3.so": "NSS: signatures of documents",
    "libfreebl3.so": "NSS: ciphers",
    "libfreeblpriv3.so": "likewise",
    "libnssckbi.so": "NSS: authorities",
}
REPRODUCIBLE_TIME = 1_000_000_000  # of all that the build itself makes: the same at each build, older than any package

# Of Java's 70 modules those that the HWP filter names (by jdeps), what they require, and the charsets of Korean files.
# The tool that picks them is in Java's own module image, but it wants modules as they were before they were made into
# one: the hashes that are recorded of them no longer hold, so the attribute is given a name that means nothing. Where
# any of it fails the image is larger, and works.
JAVA_MODULES = (
    "java.base java.datatransfer java.desktop java.logging java.prefs java.xml jdk.charsets jdk.unsupported jdk.zipfs"
)
_JAVA = f"""
set -eu
java=$(dirname "$(dirname "$(readlink -f /usr/bin/java)")")
work=$(mktemp -d)
modules="{JAVA_MODULES}"
included=$(for module in $modules; do printf '/%s/**,' "$module"; done)
"$java/bin/java" -m jdk.jlink/jdk.tools.jimage.Main extract --dir "$work/in" --include "$included" "$java/lib/modules"
sed -i s/ModuleHashes/NoModuleHash/ "$work/in/java.base/module-info.class"
"$java/bin/java" -m jdk.jlink/jdk.tools.jlink.internal.Main --module-path "$work/in" --output "$work/out" \
    --add-modules "$(echo $modules | tr ' ' ,)" --disable-plugin generate-jli-classes --strip-debug --compress zip-6
cp "$work/out/lib/modules" "$java/lib/modules"
touch -d @{REPRODUCIBLE_TIME} "$java/lib/modules"
rm -rf "$work" "$java"/lib/server/*.jsa
"$java/bin/java" -Xshare:dump
"""
# fontconfig believes its cache while the directories of fonts keep their times to the nanosecond, and tar keeps
# seconds: so whole seconds first, then the cache. The fonts that go are Noto's cuts for headlines, which hold no
# character that the others do not.
_FONTS = f"""
set -eu
rm -f /usr/share/fonts/truetype/noto/Noto*Display-*
find /usr/share/fonts /usr/local/share/fonts -type d -exec touch -d @{REPRODUCIBLE_TIME} {{}} +
fc-cache --force --system-only
"""
# shell scripts, run inside the bootstrapped tree before it is packed, and whether the build needs each
LAST_STEPS = ((_JAVA, False), (_FONTS, True))

USERS = "root:x:0:0:root:/:/usr/sbin/nologin\nguest:x:1000:1000:guest:/tmp:/usr/sbin/nologin\n"
GROUPS = "root:x:0:\nguest:x:1000:\n"
