// TypeScript declares WebAssembly in its DOM library only. This file declares the parts that the service uses, so that
// the rest of the DOM stays out of its types.
declare namespace WebAssembly {
  interface Description {
    readonly name: string;
    readonly kind: "function" | "global" | "memory" | "table" | "tag";
  }
  const Module: {
    new (bytes: Uint8Array): Module;
    imports(module: Module): (Description & { readonly module: string })[];
    exports(module: Module): Description[];
  };
  const Instance: new (module: Module, imports: Record<string, object>) => Instance;
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  /** The exports that load-module.ts has checked. */
  interface Instance {
    readonly exports: { readonly memory: Memory; readonly _start: () => void };
  }
}
