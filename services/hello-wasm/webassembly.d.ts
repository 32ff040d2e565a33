// What TypeScript knows of WebAssembly stands in its library of the browser, which would bring all the rest of that along.
declare namespace WebAssembly {
  const Module: new (bytes: Uint8Array) => Module;
  const Instance: new (module: Module, imports: Record<string, Record<string, unknown>>) => Instance;
  interface Instance {
    readonly exports: { readonly memory: { readonly buffer: ArrayBuffer } };
  }
}
