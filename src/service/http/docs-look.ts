const WALLS =
  '<rect x="3" y="6" width="10" height="20" rx="2" fill="#17855f"/><rect x="19" y="6" width="10" height="20" rx="2" fill="#2f6db3"/>'

const MARK = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${WALLS}</svg>`

const LOGO =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 32" width="150" height="32" role="img" aria-label="Holdfast">${WALLS}` +
  '<text x="40" y="22" font-family="system-ui, sans-serif" font-size="18" font-weight="600" fill="#ffffff">Holdfast</text></svg>'

/** The top bar's form loads any description by its address: this page shows its own, and the policy allows no other. */
const STYLE =
  '.swagger-ui .topbar .download-url-wrapper { display: none } .swagger-ui .topbar-wrapper { justify-content: space-between }'

/** How the page at `/docs` looks: our name, our mark, and nothing that leads elsewhere. */
export const docsLook = {
  logo: { type: 'image/svg+xml', content: Buffer.from(LOGO), href: '/docs', target: '_self' as const },
  theme: {
    title: 'Holdfast API',
    css: [{ filename: 'holdfast.css', content: STYLE }],
    favicon: [
      { filename: 'holdfast.svg', rel: 'icon', sizes: 'any', type: 'image/svg+xml', content: Buffer.from(MARK) },
    ],
  },
}
