// `npm run lint`: formatting, and clippy without a warning, for native code and for wasm.

import { main, show } from './lib/run.mjs';
import { canCompile, TARGET } from './setup/cargo.mjs';
import { setup } from './setup.mjs';

await main(async () => {
  const { toolchain } = await setup();
  await show('cargo', ['fmt', '--check']);
  await show('cargo', ['clippy', '--all-targets', '--', '-D', 'warnings']);
  if (await canCompile({})) {
    await show('cargo', ['clippy', '--lib', '--target', TARGET, '--', '-D', 'warnings']);
  } else {
    // The compiler that builds for wasm here is Debian's, which has no clippy: its own warnings still count.
    await show('cargo', ['check', '--lib', '--target', TARGET], { ...toolchain.env, RUSTFLAGS: '-D warnings' });
  }
});
