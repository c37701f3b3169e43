/* Shows the browser's error, which is otherwise only logged. */
document.addEventListener("allauth.error", (event) => {
    document.getElementById("passkey-error").hidden = false;
    event.preventDefault();
});
