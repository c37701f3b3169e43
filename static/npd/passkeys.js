/* The pages with a passkey: the library's script is started as the page says, and a refusal is shown and not only logged. */
(() => {
    const note = document.getElementById("passkey-error");
    document.addEventListener("allauth.error", (event) => { note.hidden = false; event.preventDefault(); });
    for (const one of document.querySelectorAll("script[data-allauth-onload]")) {
        const act = one.dataset.allauthOnload.split(".").pop();
        window.allauth.webauthn.forms[act](JSON.parse(one.textContent));
    }
})();
