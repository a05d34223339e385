// Seconds since the origin made an answer (RFC 9111 §4.2.3), for nginx's njs:
// the cache keeps the origin's Date. Empty, and so no header, where there is none.
function age(request) {
    const made = Date.parse(request.variables.upstream_http_date);
    return made ? String(Math.max(0, Math.floor((Date.now() - made) / 1000))) : "";
}

export default { age };
