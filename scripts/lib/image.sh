# shellcheck shell=bash
# The image that demo and tests run: a static busybox with its links, made on the spot, since there may be no registry to pull from.

image=paceline/busybox

need_image_tools() { need busybox busybox-static "is the whole content of the containers' image"; }

# Makes the image in the engine at $DOCKER_HOST unless it has it.
image_make() {
    if docker image inspect "$image" >/dev/null 2>&1; then return; fi
    local tree applet
    tree=$(mktemp -d "${TMPDIR:-/tmp}/paceline-image.XXXXXX")
    defer rm -rf "$tree"
    mkdir "$tree"/{bin,etc,tmp}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for applet in $(busybox --list); do
        [[ $applet == busybox ]] || ln -s busybox "$tree/bin/$applet"
    done
    tar -C "$tree" -c . | docker import --change 'CMD ["sh"]' - "$image" >/dev/null
    rm -rf "$tree"
}

image_remove() { docker image rm -f "$image" >/dev/null 2>&1 || true; }
