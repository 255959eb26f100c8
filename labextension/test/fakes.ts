// A kernel, its session and its comms, as far as the sidebar uses them.

interface Ran {
  code: string;
  silent?: boolean;
  store_history?: boolean;
  allow_stdin?: boolean;
  user_expressions?: Record<string, string>;
}

export class FakeSignal {
  private readonly slots = new Set<(sender: unknown, args: unknown) => void>();
  connect(slot: (sender: unknown, args: unknown) => void): void {
    this.slots.add(slot);
  }
  disconnect(slot: (sender: unknown, args: unknown) => void): void {
    this.slots.delete(slot);
  }
  emit(args: unknown): void {
    for (const slot of this.slots) slot(this, args);
  }
}

export class FakeComm {
  readonly sent: Record<string, unknown>[] = [];
  isDisposed = false;
  onMsg: (message: { content: { data: Record<string, unknown> } }) => void = () => undefined;
  onClose: (message: unknown) => void = () => undefined;
  constructor(private readonly refuses = false) {}
  open(): { done: Promise<void> } {
    if (this.refuses) this.onClose({});
    return { done: Promise.resolve() };
  }
  send(data: Record<string, unknown>): void {
    this.sent.push(data);
  }
  close(): void {
    this.isDisposed = true;
  }
}

interface Behaviour {
  language?: string;
  load?: { ename: string; evalue: string };
  refuses?: boolean;
  status?: string;
  pip?: string;
}

export class FakeKernel {
  readonly ran: Ran[] = [];
  readonly name = "python3";
  readonly supportsSubshells = false;
  readonly spec = Promise.resolve({ display_name: "Python 3" });
  constructor(private readonly behaviour: Behaviour = {}) {}
  get info(): Promise<unknown> {
    return Promise.resolve({ language_info: { name: this.behaviour.language ?? "python" } });
  }
  requestExecute(content: Ran): { done: Promise<unknown>; onIOPub: (message: unknown) => void } {
    this.ran.push(content);
    const { load, pip, status = "ok" } = this.behaviour;
    const ended = { status: "ok", data: { "text/plain": pip?.startsWith("ERROR") ? "1" : "0" } };
    const loaded = load ? { status: "error", ...load } : { status: "ok" };
    const future = {
      onIOPub: (_: unknown): void => undefined,
      done: Promise.resolve().then(() => {
        if (pip) future.onIOPub({ header: { msg_type: "stream" }, content: { text: pip } });
        return { content: { status, ...(status === "ok" ? { user_expressions: { load: loaded, ended } } : {}) } };
      }),
    };
    return future;
  }
  createComm(): FakeComm {
    return new FakeComm(this.behaviour.refuses);
  }
}

export class FakeSession {
  readonly ready = Promise.resolve();
  readonly kernelChanged = new FakeSignal();
  readonly statusChanged = new FakeSignal();
  readonly session: { kernel: unknown };
  constructor(kernel: unknown) {
    this.session = { kernel };
  }
}
