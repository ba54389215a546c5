// Without a validator, which would be somebody else's server.
SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#viewer",
    deepLinking: true,
    validatorUrl: null,
    withCredentials: true,
});
