box.textContent = answer.text;
location.assign("/whatsappapi/");
location.reload();
document.addEventListener("click", hear);
