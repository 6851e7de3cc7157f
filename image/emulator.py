"""A box in qemu: a card that is a file, the Pi's firmware stood in for, a console, a network, and a plug to pull.

A power cut is SIGKILL to the emulator, by its process id. What the tests ask inside the box they ask through a root
shell on a second console, which a small initramfs laid over the card's own starts; the card itself has no such thing.
"""

import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TRY = re.compile(r"magpie: rebooting to try slot ([AB])")


class Failed(Exception):
    """What a test has to tell."""


def figure(name, value):
    print(f"{name}: {value}", flush=True)


def check(holds, what):
    print(f"{'ok' if holds else 'FAILED'}: {what}", flush=True)
    if not holds:
        raise Failed(what)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Emulator:
    """One box. `machine` is "virt" or "raspi3b"."""

    def __init__(self, image, folder, card_mib=4096, machine="virt", memory_mib=512, cpus=2):
        self.folder = pathlib.Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.card = self.folder / "card.img"
        subprocess.run(["cp", "--sparse=always", image, self.card], check=True)
        os.truncate(self.card, card_mib << 20)
        self.machine, self.memory_mib, self.cpus = machine, memory_mib, cpus
        self.extra, self.environment = [], {}
        self.appended = ""
        self.process = None
        self.token = None
        self.starts = 0
        self.booted = None
        self.serve = None

    # ---- power ----

    def start(self, tryboot=False):
        """Firmware, then kernel. Returns at once; `wait_healthy` waits."""
        self.starts += 1
        chosen = subprocess.run(
            [HERE / "firmware", self.card, self.folder / "boot"] + (["--tryboot"] if tryboot else []), capture_output=True, text=True
        )
        if chosen.returncode:
            raise Failed(chosen.stderr.strip())
        self.booted = json.loads(chosen.stdout)
        self.port = free_port()
        self.console_file = self.folder / f"console-{self.starts}.log"
        self.console_file.unlink(missing_ok=True)
        shell = self.folder / "shell.sock"
        shell.unlink(missing_ok=True)
        forward = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:8080"
        if self.serve:
            forward += f",guestfwd=tcp:10.0.2.100:80-cmd:{sys.executable} {HERE}/test-boot serve {self.serve}"
        words = ["qemu-system-aarch64", "-nodefaults", "-nographic", "-no-reboot", "-kernel", self.booted["kernel"]]
        if self.machine == "virt":
            initramfs = self.folder / "initramfs"
            own = pathlib.Path(self.booted["initramfs"]).read_bytes()
            initramfs.write_bytes(own + bytes(-len(own) % 4) + shell_initramfs())
            words += ["-M", "virt", "-cpu", "cortex-a53", "-smp", str(self.cpus), "-m", str(self.memory_mib)]
            words += ["-initrd", str(initramfs)]
            words += ["-drive", f"file={self.card},format=raw,if=none,id=card,cache=writeback,discard=unmap", "-device", "virtio-blk-pci,drive=card"]
            words += ["-netdev", forward, "-device", "virtio-net-pci,netdev=net,romfile="]
            words += ["-device", "virtio-rng-pci"]
            words += ["-chardev", f"socket,id=shell,path={shell},server=on,wait=off"]
            words += ["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"]
            append = "console=ttyAMA0"
        else:
            tree = [name for name in self.booted["device_trees"] if name.endswith("bcm2837-rpi-3-b.dtb")]
            words += ["-M", "raspi3b", "-dtb", tree[0], "-initrd", self.booted["initramfs"]]
            words += ["-drive", f"file={self.card},format=raw,if=sd,cache=writeback"]
            words += ["-netdev", forward, "-device", "usb-net,netdev=net"]
            # The emulated watchdog resets the board as soon as it is armed.
            append = "console=ttyAMA0,115200 systemd.watchdog_sec=0"
        words += ["-chardev", f"file,id=console,path={self.console_file}", "-serial", "chardev:console"]
        words += ["-append", f"{self.booted['cmdline']} {append} {self.appended}".strip()] + self.extra
        self.began = time.monotonic()
        self.errors = open(self.folder / f"qemu-{self.starts}.log", "wb")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, env={**os.environ, **self.environment})
        self.shell = None
        self.shell_path = shell
        return self.booted["slot"]

    def cut_power(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.shell = None

    def wait_off(self, seconds):
        """Until the box turned itself off or restarted (-no-reboot ends the emulator)."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"still running after {seconds} s\n{self.tail()}")
        self.shell = None

    def restart(self):
        """What the firmware does next: the slot to try, if the box said so before it went down."""
        return self.start(tryboot=bool(TRY.search(self.console())))

    def close(self):
        if self.process and self.process.poll() is None:
            self.cut_power()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- the console ----

    def console(self):
        return self.console_file.read_text(errors="replace") if self.console_file.exists() else ""

    def tail(self, lines=25):
        errors = (self.folder / f"qemu-{self.starts}.log").read_text(errors="replace")
        return "\n".join(self.console().splitlines()[-lines:]) + errors[-1500:]

    def wait_console(self, pattern, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = re.search(pattern, self.console())
            if found:
                return found
            self.still_running()
            time.sleep(0.25)
        raise Failed(f"no {pattern!r} on the console within {seconds} s\n{self.tail()}")

    def still_running(self):
        if self.process.poll() is not None:
            raise Failed(f"the emulator ended with {self.process.returncode}\n{self.tail()}")

    # ---- the service ----

    def wait_healthy(self, seconds=600):
        """Seconds from power to the first healthy answer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.still_running()
            try:
                status, _ = self.call("GET", "/health", timeout=5)
                if status == 200:
                    return time.monotonic() - self.began
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.2)
        raise Failed(f"not healthy within {seconds} s\n{self.tail(60)}")

    def call(self, method, path, body=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Host": "127.0.0.1:8080"}
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content

    def claim(self):
        """Becomes the box's owner by the code that its console shows."""
        code = self.wait_console(r"(?m)^.*?\b(\d{3}) (\d{3})\s*$", 60)
        status, answer = self.call("POST", "/api/v1/pair", {"code": code[1] + code[2], "name": "test"})
        check(status == 201, f"the claim code {code[1]} {code[2]} on the console pairs an owner ({status})")
        self.token = answer["data"]["token"]

    # ---- inside ----

    def run(self, command, seconds=60):
        """A command in the root shell of the test's console: what it prints; its failure is ours."""
        if self.shell is None:
            self.shell = Shell(self.shell_path)
        status, text = self.shell.run(command, seconds)
        if status != 0:
            raise Failed(f"`{command}` ended with {status}: {text}")
        return text


class Shell:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.number = 0
        self.wait_prompt()

    def wait_prompt(self, seconds=180):
        """Asks until somebody is there: what was written before the shell ran may be lost."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                self.run("stty -echo 2>/dev/null; true", 5)
                return
            except Failed:
                pass
        raise Failed("no shell on the test's console")

    def run(self, command, seconds):
        self.number += 1
        mark = f"={self.number}="
        # The mark is not in what was typed, so that an echo is no answer.
        self.socket.sendall(f"echo '='{self.number}'<'; {command}\necho '='{self.number}'='$?'.'\n".encode())
        self.socket.settimeout(1)
        got, until = "", time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                continue
            if not piece:
                raise Failed("the test's console is closed")
            got += piece.decode(errors="replace")
            done = re.search(rf"={self.number}<\r?\n(.*?)\r?\n?{re.escape(mark)}(\d+)\.", got, re.DOTALL)
            if done:
                return int(done[2]), done[1].replace("\r", "").strip()
        raise Failed(f"`{command}` gave no answer within {seconds} s: {got[-500:]}")


UNIT = """[Unit]
Description=The test's console
DefaultDependencies=no
After=dev-hvc0.device
Requires=dev-hvc0.device

[Service]
ExecStart=/bin/sh
StandardInput=tty
StandardOutput=tty
StandardError=null
TTYPath=/dev/hvc0
Restart=always
RestartSec=1
"""

SCRIPT = """#!/bin/sh
mkdir -p /run/systemd/system/sysinit.target.wants
cp /test-console.service /run/systemd/system/
ln -sf ../test-console.service /run/systemd/system/sysinit.target.wants/
"""


def shell_initramfs():
    """A cpio archive that the kernel unpacks over the card's own initramfs."""
    made = io.BytesIO()
    files = [
        ("test-console.service", 0o100644, UNIT),
        ("hooks", 0o040755, ""),
        ("hooks/test-console", 0o100755, SCRIPT),
        ("TRAILER!!!", 0, ""),
    ]
    for number, (name, mode, text) in enumerate(files, 1):
        content = text.encode()
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        made.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        made.write(b"\0" * (-made.tell() % 4) + content)
        made.write(b"\0" * (-made.tell() % 4))
    return made.getvalue()
