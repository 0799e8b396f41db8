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
  // The controller refuses commands of a foreign origin; while developing, ours is made to look like its own.
  server: {
    proxy: {
      '/api': {
        target: CONTROLLER,
        changeOrigin: true,
        // The controller refuses commands of a foreign origin; while developing, ours is made to look like its own.
        configure: (proxy) => proxy.on('proxyReq', (request) => request.setHeader('Origin', CONTROLLER)),
      },
    },
  },
});
