// TypeScript declares WebAssembly in its DOM library only. This file declares the parts that the service uses, so that
// the rest of the DOM stays out of its types.
declare namespace WebAssembly {
  const Module: new (bytes: Uint8Array) => Module;
  const Instance: new (module: Module, imports: Record<string, Record<string, unknown>>) => Instance;
  interface Instance {
    readonly exports: { readonly memory: { readonly buffer: ArrayBuffer } };
  }
}
