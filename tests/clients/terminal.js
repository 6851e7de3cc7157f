// The computer's half: a published CLI, unmodified, in a home of its own.

import { execFile, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PATIENCE = 120_000;

/**
 * Where the CLIs look for Claude Code: the current one's SDK in the package for the platform, which
 * is not installed; the older one where its installer puts it in a home.
 */
function standIn(home) {
  const folder = join(HERE, `node_modules/@anthropic-ai/claude-agent-sdk-${process.platform}-${process.arch}`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, "claude"))) symlinkSync(join(HERE, "claude"), join(folder, "claude"));
  if (existsSync(join(folder, "package.json"))) throw new Error(`${folder} is the real Claude Code: install with npm ci in tests/clients, which leaves it out`);
  chmodSync(join(HERE, "claude"), 0o755);
  mkdirSync(join(home, ".local/bin"), { recursive: true });
  symlinkSync(join(HERE, "claude"), join(home, ".local/bin/claude"));
}

export class Terminal {
  /**
   * @param {string} server
   * @param {string} cli `happy`, or `happy-coder`, which was its name before
   */
  constructor(server, cli) {
    this.happy = join(HERE, "node_modules", cli, "bin/happy.mjs");
    this.version = JSON.parse(readFileSync(join(HERE, "node_modules", cli, "package.json"), "utf8")).version;
    this.home = mkdtempSync(join(tmpdir(), "happy-"));
    standIn(this.home);
    this.work = join(this.home, "work");
    mkdirSync(this.work);
    // Nothing of the one who runs this: neither keys nor proxies nor a session of their own.
    this.env = {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      HOME: this.home,
      LANG: "C.UTF-8",
      TERM: "xterm",
      CLAUDE_CONFIG_DIR: join(this.home, ".claude"),
      HAPPY_HOME_DIR: join(this.home, ".happy"),
      HAPPY_SERVER_URL: server,
      HAPPY_WEBAPP_URL: "http://127.0.0.1:9",
      HAPPY_DISABLE_CAFFEINATE: "1",
      DEBUG: "1",
    };
  }

  /** Runs a command of the CLI to its end. */
  run(...args) {
    return new Promise((resolve, reject) => {
      execFile(process.execPath, [this.happy, ...args], { env: this.env, cwd: this.work, timeout: PATIENCE }, (error, out, errors) =>
        error ? reject(new Error(`happy ${args.join(" ")}: ${error.message}\n${out}\n${errors}`)) : resolve(out + errors),
      );
    });
  }

  /** Signs in; `approve` gets the link that a phone would scan. The CLI asks a person, so it needs a terminal. */
  async signIn(approve) {
    const command = [process.execPath, this.happy, "auth", "login"].map((part) => `'${part}'`).join(" ");
    const child = spawn("script", ["-qefc", `stty cols 120 rows 50; exec ${command}`, "/dev/null"], { env: this.env, cwd: this.work });
    let shown = "";
    let chosen = false;
    let scanned;
    child.stdout.on("data", (piece) => {
      shown += piece;
      if (!chosen && shown.includes("Mobile App")) {
        chosen = true;
        child.stdin.write("1");
      }
      const link = shown.match(/happy:\/\/terminal\?[\w-]{43}(?=[\s\x1b])/);
      if (link && !scanned) scanned = approve(link[0]).catch((error) => { child.kill(); throw error; });
    });
    child.stderr.on("data", (piece) => (shown += piece));
    const timer = setTimeout(() => child.kill(), PATIENCE);
    const code = await new Promise((resolve) => child.on("close", resolve));
    clearTimeout(timer);
    await scanned;
    if (code !== 0 || !shown.includes("Authentication successful")) throw new Error(`happy auth login ended with ${code}:\n${shown}`);
  }

  /** A file of the CLI's home. */
  kept(name) {
    return JSON.parse(readFileSync(join(this.env.HAPPY_HOME_DIR, name), "utf8"));
  }

  /** What the CLI wrote for those who look for a fault. */
  logs() {
    const folder = join(this.env.HAPPY_HOME_DIR, "logs");
    if (!existsSync(folder)) return "";
    return readdirSync(folder).map((name) => `== ${name}\n${readFileSync(join(folder, name), "utf8").slice(-6000)}`).join("\n");
  }

  async end() {
    await this.run("daemon", "stop").catch(() => {});
    // Sessions outlive their daemon; after a fault they may still be there.
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (readFileSync(`/proc/${pid}/environ`, "utf8").includes(`HAPPY_HOME_DIR=${this.env.HAPPY_HOME_DIR}\0`)) process.kill(Number(pid), "SIGKILL");
      } catch {
        // It ended meanwhile, or is none of ours.
      }
    }
    rmSync(this.home, { recursive: true, force: true });
  }
}
