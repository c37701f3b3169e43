/* A refusal of the browser's is shown and not only logged. */
document.addEventListener("allauth.error", (event) => {
    document.getElementById("passkey-error").hidden = false;
    event.preventDefault();
});
