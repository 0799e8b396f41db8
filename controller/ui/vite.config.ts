// The page is built into `dist/`, which the binary embeds. Nothing is inlined as a data: address and
// nothing comes from another origin, so that the server can send a strict content security policy.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** Where `npm run dev` finds a running controller. */
const CONTROLLER = process.env['YAGURA'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  base: './',
  plugins: [svelte()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  server: { proxy: { '/api': CONTROLLER, '/healthz': CONTROLLER } },
});
